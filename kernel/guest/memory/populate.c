/* How a domain gets memory: frames are allocated, cleared and mapped. */
#include <kernel/guest/memory/populate.h>

#include <iommu/iommu.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/blocks.h>
#include <kernel/guest/memory/clear.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>

/* Small blocks that one step of a build maps. */
#define BUILD_STEP_BLOCKS 32
/* What one call of memory_populate() may do: lookups, and frames cleared; a block more takes as
 * long as clearing so many frames. */
#define POPULATE_LOOKUPS 256
#define BLOCK_COST 6UL

/* Map newly allocated frames for CPUs and devices. On an error, the *done frames that were already
 * in the nested tables stay there, for the caller to remove through a batch; the others are the
 * caller's. */
static int map_frames(struct memory *m, struct iommu_gather *g, gfn_t gfn, mfn_t mfn,
		      unsigned int order, u64 *done)
{
	u64 nr = 1UL << order;
	int ret = nested_map(&m->nested, gfn, mfn, nr, NESTED_RAM, done);

	m->pages_owned += *done;
	if (!ret && m->has_devices)
		ret = iommu_map(g, gfn, mfn, nr, IOMMU_READ | IOMMU_WRITE);
	return ret;
}

/* The largest block that one step may map at gfn: with at most 512 leaves in each kind of table. */
static unsigned int build_order(const struct memory *m, gfn_t gfn, u64 nr)
{
	unsigned int order = 63 - __builtin_clzl(nr);

	order = MIN(order, (unsigned int)ALLOC_MAX_ORDER);
	if (m->has_devices)
		order = MIN(order, iommu_leaf_order() + 9);
	return gfn ? MIN(order, (unsigned int)__builtin_ctzl(gfn)) : order;
}

/* Take and map one block at gfn, of at most nr frames. Returns how many, or the error. */
static s64 build_block(struct memory *m, struct iommu_gather *g, gfn_t gfn, u64 nr)
{
	unsigned int order = build_order(m, gfn, nr);
	mfn_t mfn = block_take(m->owner, &order);
	u64 done;
	int ret;

	if (mfn == INVALID_MFN)
		return -ENOMEM;
	spin_lock(&m->nested.lock);
	ret = map_frames(m, g, gfn, mfn, order, &done);
	spin_unlock(&m->nested.lock);
	block_free(mfn + done, BIT(order) - done);
	return ret ? ret : (s64)BIT(order);
}

int memory_build_begin(struct memory *m, u64 bytes)
{
	u64 available = alloc_free_frames();

	m->pages_limit = bytes >> PAGE_SHIFT;
	if (m->pages_limit <= available)
		return 0;
	log_err("domain %s: mem=%luM is not available, only %luM are free: ask for less", m->name,
		bytes >> 20, available >> (20 - PAGE_SHIFT));
	return -ENOMEM;
}

/* Map one large block, or some small ones. */
static int build_blocks(struct memory *m, struct iommu_gather *g, gfn_t *gfn, u64 nr)
{
	gfn_t end = *gfn + nr;

	for (u32 i = 0; *gfn < end && i < BUILD_STEP_BLOCKS; i++) {
		s64 ret = build_block(m, g, *gfn, end - *gfn);

		if (ret < 0)
			return (int)ret;
		*gfn += (u64)ret;
		if (ret > BUILD_STEP_BLOCKS)
			break;
	}
	return 0;
}

int memory_build_step(struct memory *m, gfn_t *gfn)
{
	u64 nr = memory_ram_from(m, gfn);
	IOMMU_GATHER(g);
	int ret;

	if (!nr) {
		m->devices_see_all = m->has_devices;
		return STEP_DONE;
	}
	ret = iommu_gather_begin(&g, m->iommu);
	if (ret == -EAGAIN)
		return STEP_WAIT;
	if (!ret) {
		ret = build_blocks(m, &g, gfn, nr);
		iommu_gather_commit(&g, 0);
	}
	if (!ret)
		return STEP_MORE;
	log_err("domain %s: cannot map its memory (error %d): ask for less than mem=%luM", m->name,
		-ret, m->pages_limit >> (20 - PAGE_SHIFT));
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
	mfn = block_take(m->owner, &order);
	if (mfn == INVALID_MFN)
		return -ENOMEM;
	clear_frames(mfn, 1UL << order);

	spin_lock(&m->nested.lock);
	at = nested_lookup(&m->nested, gfn);
	ret = 0;
	if (at.tombstone)
		ret = -EAGAIN;
	else if (at.flags)
		ret = -EEXIST; /* another vCPU has filled it */
	else if (m->pages_owned + (1UL << order) > m->pages_limit)
		ret = -ENOMEM;
	if (!ret) {
		ret = map_frames(m, g, gfn, mfn, order, &done);
		if (ret && done)
			memory_unmap(m, g, gfn, done, held);
		if (!ret)
			done = 1UL << order;
	}
	spin_unlock(&m->nested.lock);
	block_free(mfn + done, (1UL << order) - done);
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

	for (unsigned int steps = 0; done < nr && cleared < CLEAR_STEP && steps < POPULATE_LOOKUPS;
	     steps++) {
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
		cleared += (u64)ret + BLOCK_COST;
	}
	iommu_gather_commit(&g, held);
	return done ? (s64)done : ret;
}

int memory_renew_step(struct memory *m, gfn_t *gfn)
{
	u64 nr = memory_ram_from(m, gfn);
	s64 there;

	if (!nr)
		return STEP_DONE;
	there = memory_populate(m, *gfn, nr);
	if (there < 0)
		return there == -EAGAIN ? STEP_WAIT : (int)there;
	*gfn += (u64)there;
	return STEP_MORE;
}
