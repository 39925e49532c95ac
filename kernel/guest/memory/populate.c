/* How a domain gets memory: frames are allocated, cleared and mapped. */
#include <kernel/guest/memory/populate.h>

#include <iommu/iommu.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/guest/memory/clear.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

/* Allocate zeroed frames for the domain, of the wanted order or a smaller one; *order is
 * updated. Takes interrupts if it is more than CLEAR_STEP. */
static mfn_t take_frames(struct memory *m, unsigned int *order)
{
	mfn_t mfn;

	while ((mfn = alloc_frames(*order)) == INVALID_MFN) {
		if (!*order)
			return INVALID_MFN;
		(*order)--;
	}
	clear_frames(mfn, 1UL << *order);
	if (frame_set(mfn, *order, FRAME_RAM, m->owner))
		panic("frame table: fresh frames 0x%lx+%lu are in use", mfn, 1UL << *order);
	return mfn;
}

/* Map newly allocated frames for CPUs and devices. On an error, the *done frames that were already
 * in the nested tables stay there, for the caller to remove through a batch; the others are
 * freed. */
static int map_frames(struct memory *m, struct iommu_gather *g, gfn_t gfn, mfn_t mfn,
		      unsigned int order, u64 *done)
{
	u64 nr = 1UL << order;
	int ret = nested_map(&m->nested, gfn, mfn, nr, NESTED_RAM, done);

	m->pages_owned += *done;
	for (u64 i = *done; i < nr; i++)
		free_frames(mfn + i, 0);
	if (!ret && m->has_devices)
		ret = iommu_map(g, gfn, mfn, nr, IOMMU_READ | IOMMU_WRITE);
	return ret;
}

static int build_range(struct memory *m, struct iommu_gather *g, gfn_t gfn, u64 nr)
{
	while (nr) {
		unsigned int order = 63 - __builtin_clzl(nr);
		u64 done;
		mfn_t mfn;
		int ret;

		order = MIN(order, (unsigned int)ALLOC_MAX_ORDER);
		if (gfn)
			order = MIN(order, (unsigned int)__builtin_ctzl(gfn));
		mfn = take_frames(m, &order);
		if (mfn == INVALID_MFN)
			return -ENOMEM;
		spin_lock(&m->nested.lock);
		ret = map_frames(m, g, gfn, mfn, order, &done);
		spin_unlock(&m->nested.lock);
		if (ret)
			return ret;
		irq_window();
		gfn += 1UL << order;
		nr -= 1UL << order;
	}
	return 0;
}

/* Build all of the domain's memory, below and above the hole. */
static int build_all(struct memory *m, struct iommu_gather *g)
{
	u64 nr;
	int ret = 0;

	for (gfn_t gfn = 0; !ret && (nr = memory_ram_from(m, &gfn)); gfn += nr)
		ret = build_range(m, g, gfn, nr);
	return ret;
}

int memory_build(struct memory *m, u64 bytes)
{
	u64 available;
	IOMMU_GATHER(g);
	int ret;

	m->pages_limit = bytes >> PAGE_SHIFT;
	pool_make_room(m->pages_limit);
	available = alloc_free_frames();
	if (m->pages_limit > available) {
		log_err("domain %s: mem=%luM is not available, only %luM are free: ask for less",
			m->name, bytes >> 20, available >> (20 - PAGE_SHIFT));
		return -ENOMEM;
	}
	ret = iommu_gather_begin(&g, m->iommu);
	if (!ret) {
		ret = build_all(m, &g);
		iommu_gather_commit(&g, 0);
	}
	m->devices_see_all = m->has_devices && !ret;
	if (ret)
		log_err("domain %s: cannot map its memory (error %d): ask for less than mem=%luM",
			m->name, -ret, bytes >> 20);
	return ret;
}

/* The largest block that fits into a hole of nr frames at gfn. */
static unsigned int hole_order(gfn_t gfn, u64 nr)
{
	unsigned int order = MIN(63 - __builtin_clzl(nr), ORDER_2M);

	return gfn ? MIN(order, (unsigned int)__builtin_ctzl(gfn)) : order;
}

/* Fill the unmapped range at gfn with at most nr frames. Returns how many, or the error. *held: the
 * number of frames that the gather's batch must free. */
static s64 populate_hole(struct memory *m, struct iommu_gather *g, gfn_t gfn, u64 nr, u64 *held)
{
	unsigned int order = hole_order(gfn, nr);
	struct nested_leaf at;
	u64 done = 0;
	mfn_t mfn;
	int ret;

	/* Do not use Weir's own reserve while the pool has memory. */
	if (alloc_free_frames() < POOL_RESERVE + (1UL << order) && pool_reclaim(1UL << order))
		return -EAGAIN;
	mfn = take_frames(m, &order);
	if (mfn == INVALID_MFN)
		return -ENOMEM;

	spin_lock(&m->nested.lock);
	at = nested_lookup(&m->nested, gfn);
	ret = 0;
	if (at.tombstone)
		ret = -EAGAIN;
	else if (at.flags)
		ret = -EEXIST; /* another vCPU has filled it */
	else if (m->pages_owned + (1UL << order) > m->pages_limit)
		ret = -ENOMEM;
	if (ret) {
		free_frames(mfn, order);
	} else {
		ret = map_frames(m, g, gfn, mfn, order, &done);
		if (ret && done)
			memory_unmap(m, g, gfn, done, held);
	}
	spin_unlock(&m->nested.lock);
	return ret ? ret : (s64)(1UL << order);
}

s64 memory_populate(struct memory *m, gfn_t gfn, u64 nr)
{
	u64 done = 0, cleared = 0, held = 0;
	IOMMU_GATHER(g);
	s64 ret = 0;

	if (!memory_is_ram(m, gfn, nr))
		return -EINVAL;
	ret = iommu_gather_begin(&g, m->iommu);
	if (ret)
		return ret;

	for (unsigned int steps = 0;
	     done < nr && cleared < CLEAR_STEP && steps < MEMORY_STEP_ENTRIES; steps++) {
		struct nested_leaf at;
		u64 span;

		spin_lock(&m->nested.lock);
		at = nested_lookup(&m->nested, gfn + done);
		spin_unlock(&m->nested.lock);

		span = (1UL << at.order) - ((gfn + done) & ((1UL << at.order) - 1));
		span = MIN(span, nr - done);
		if (at.flags) {
			done += span;
			continue;
		}
		if (at.tombstone) {
			ret = -EAGAIN;
			break;
		}
		/* What takes longer begins its own call. */
		if (cleared && cleared + BIT(hole_order(gfn + done, span)) > CLEAR_STEP)
			break;
		ret = populate_hole(m, &g, gfn + done, span, &held);
		if (ret == -EEXIST)
			continue;
		if (ret < 0)
			break;
		done += ret;
		cleared += ret;
	}
	iommu_gather_commit(&g, held);
	return done ? (s64)done : ret;
}

/* Clear nr frames of the domain's memory, and take interrupts before each part. */
static int clear_again(struct memory *m, gfn_t gfn, u64 nr)
{
	int ret = 0;

	for (u64 n; !ret && nr; gfn += n, nr -= n) {
		n = MIN(nr, CLEAR_STEP);
		irq_window();
		ret = guest_zero(m, gfn << PAGE_SHIFT, n << PAGE_SHIFT);
	}
	return ret;
}

int memory_renew_step(struct memory *m, gfn_t *gfn)
{
	u64 nr = memory_ram_from(m, gfn),
	    to_block = (1UL << ORDER_2M) - (*gfn & ((1UL << ORDER_2M) - 1));
	s64 there;
	int ret;

	if (!nr)
		return STEP_DONE;
	there = memory_populate(m, *gfn, MIN(nr, to_block));
	if (there < 0)
		return there == -EAGAIN ? STEP_WAIT : (int)there;
	ret = clear_again(m, *gfn, (u64)there);
	*gfn += (u64)there;
	return ret ? ret : STEP_MORE;
}
