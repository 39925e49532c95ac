/* A domain's memory. See kernel/guest/memory/memory.h for the rule; kernel/guest/memory/shootdown.h for how CPUs answer a
 * batch. */

#include <kernel/guest/memory/memory.h>

#include <iommu/iommu.h>
#include <kernel/mm/alloc.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/lib/string.h>

/* Entries that one call or one release step may touch, and frames that one call may clear: some
 * tens of microseconds. */
#define STEP_ENTRIES 512
#define STEP_CLEAR 512

/* Guest RAM below the device window, which ends at 4 GiB; the rest of it continues there. */
#define LOW_RAM_END ((3UL << 30) >> PAGE_SHIFT)
#define HIGH_RAM_START ((4UL << 30) >> PAGE_SHIFT)

int memory_init(struct memory *m, u16 owner, const char *name, void (*wake)(void *arg), void *arg)
{
	int ret = nested_init(&m->nested, owner);

	m->owner = owner;
	m->name = name;
	return ret ? ret : iommu_domain_create(&m->iommu, owner, name, wake, arg);
}

void memory_free(struct memory *m)
{
	nested_free(&m->nested);
}

static bool is_ram_range(const struct memory *m, gfn_t gfn, u64 nr)
{
	u64 low = MIN(m->pages_limit, LOW_RAM_END);
	u64 high = m->pages_limit - low;

	if (!nr)
		return false;
	if (gfn < low)
		return nr <= low - gfn;
	return gfn >= HIGH_RAM_START && gfn - HIGH_RAM_START < high &&
	       nr <= high - (gfn - HIGH_RAM_START);
}

static void give_back(void *ctx, mfn_t mfn, unsigned int order, u32 flags)
{
	struct memory *m = ctx;

	if (flags & NESTED_DEVICE)
		return;
	m->pages_owned -= 1UL << order;
	free_frames(mfn, order);
}

/* Frames of the domain's own, zeroed, of the wanted order or a smaller one. */
static mfn_t take_frames(struct memory *m, unsigned int *order)
{
	mfn_t mfn;

	while ((mfn = alloc_frames(*order)) == INVALID_MFN) {
		if (!*order)
			return INVALID_MFN;
		(*order)--;
	}
	memset(mfn_to_virt(mfn), 0, PAGE_SIZE << *order);
	if (frame_set(mfn, *order, FRAME_RAM, m->owner))
		panic("frame table: fresh frames 0x%lx+%lu are in use", mfn, 1UL << *order);
	return mfn;
}

/* Map frames that were just taken, for CPUs and devices. On error those that got into the nested
 * tables stay there (*done says how many: the caller takes them out through a batch), and the
 * others are free again. */
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
		ret = map_frames(m, g, gfn, mfn, order, &done);
		if (ret)
			return ret;
		gfn += 1UL << order;
		nr -= 1UL << order;
	}
	return 0;
}

int memory_build(struct memory *m, u64 bytes)
{
	u64 nr = bytes >> PAGE_SHIFT, low = MIN(nr, LOW_RAM_END), available;
	IOMMU_GATHER(g);
	int ret;

	m->pages_limit = nr;
	pool_make_room(nr);
	available = alloc_free_frames();
	if (nr > available) {
		log_err("domain %s: mem=%luM cannot be had, %luM are free: ask for less", m->name,
			bytes >> 20, available >> (20 - PAGE_SHIFT));
		return -ENOMEM;
	}
	ret = iommu_gather_begin(&g, m->iommu);
	if (!ret) {
		spin_lock(&m->nested.lock);
		ret = build_range(m, &g, 0, low);
		if (!ret)
			ret = build_range(m, &g, HIGH_RAM_START, nr - low);
		spin_unlock(&m->nested.lock);
		iommu_gather_commit(&g, 0);
	}
	m->devices_see_all = m->has_devices && !ret;
	if (ret)
		log_err("domain %s: its memory cannot be mapped (error %d): ask for less than mem=%luM",
			m->name, -ret, bytes >> 20);
	return ret;
}

/* The leaves of [*gfn, end), until `budget` entries of either kind of table are passed: a large leaf of the CPUs may be many entries
 * of a unit that has only small ones, and goes there by one table a turn. */
static int share_leaves(struct memory *m, struct iommu_gather *g, gfn_t *gfn, gfn_t end, u64 *budget)
{
	unsigned int leaf_order = iommu_leaf_order();

	while (*gfn < end && *budget) {
		struct nested_leaf at = nested_lookup(&m->nested, *gfn);
		u64 rest = (1UL << at.order) - (*gfn & ((1UL << at.order) - 1));
		u64 nr = MIN(rest, (u64)STEP_ENTRIES << leaf_order),
		    entries = MAX(nr >> leaf_order, 1UL);
		int ret = 0;

		/* A tombstone was given back: its release looks at both tables. */
		if (at.flags && !(at.flags & NESTED_DEVICE))
			ret = iommu_map(g, *gfn, at.mfn, nr, IOMMU_READ | IOMMU_WRITE);
		/* There already: from an earlier try, or the guest has taken it since has_devices is set. */
		if (ret && ret != -EEXIST)
			return ret;
		*gfn += nr;
		*budget -= MIN(*budget, entries);
	}
	return 0;
}

int memory_map_for_devices(struct memory *m, gfn_t *gfn)
{
	gfn_t low = MIN(m->pages_limit, LOW_RAM_END), end = low;
	u64 budget = STEP_ENTRIES;
	IOMMU_GATHER(g);
	int ret;

	/* The control domain's devices may have a map of their own. */
	if (m->machine_addresses || read_once(&m->devices_see_all))
		return STEP_DONE;
	ret = iommu_gather_begin(&g, m->iommu);
	if (ret)
		return ret == -EAGAIN ? STEP_WAIT : ret;
	if (m->pages_limit > low)
		end = HIGH_RAM_START + m->pages_limit - low;

	spin_lock(&m->nested.lock);
	/* From here on both tables change together. */
	m->has_devices = true;
	if (*gfn < low)
		ret = share_leaves(m, &g, gfn, low, &budget);
	if (!ret && *gfn >= low) {
		*gfn = MAX(*gfn, end > low ? HIGH_RAM_START : low);
		ret = share_leaves(m, &g, gfn, end, &budget);
	}
	if (!ret && *gfn < end)
		ret = STEP_MORE;
	if (!ret)
		m->devices_see_all = true;
	spin_unlock(&m->nested.lock);
	iommu_gather_commit(&g, 0);
	return ret == -EAGAIN ? STEP_WAIT : ret;
}

s64 memory_device_frame(struct memory *m, gfn_t gfn)
{
	struct nested_leaf at;

	spin_lock(&m->nested.lock);
	at = nested_lookup(&m->nested, gfn);
	spin_unlock(&m->nested.lock);
	if (!at.flags || (at.flags & NESTED_DEVICE))
		return -ENOENT;
	return (s64)(m->machine_addresses ? at.mfn : gfn);
}

static enum step release_step(struct iommu_batch *b)
{
	struct iommu_batch_user *u = iommu_batch_user(b);
	struct memory *m = u->owner;
	enum step ret;

	spin_lock(&m->nested.lock);
	ret = nested_release(&m->nested, &u->word[0], u->word[1], iommu_batch_number(b),
			     STEP_ENTRIES, give_back, m);
	spin_unlock(&m->nested.lock);
	return ret;
}

/* Take the RAM of [gfn, gfn + nr) out of all tables, to be freed by the gather's batch; nested.lock
 * is held. Returns the frames passed, *unmapped those that held memory. */
static u64 unmap_frames(struct memory *m, struct iommu_gather *g, gfn_t gfn, u64 nr, u64 *unmapped)
{
	u64 passed = nested_unmap(&m->nested, gfn, nr, iommu_gather_number(g), STEP_ENTRIES, unmapped);
	struct iommu_batch_user *u = iommu_gather_user(g);

	if (!*unmapped)
		return passed;
	if (m->has_devices)
		iommu_unmap(g, gfn, passed);
	u->step = release_step;
	u->owner = m;
	u->word[0] = gfn;
	u->word[1] = gfn + passed - 1;
	shootdown_post(&m->nested, g);
	return passed;
}

s64 memory_release(struct memory *m, gfn_t gfn, u64 nr)
{
	IOMMU_GATHER(g);
	u64 passed, unmapped;
	int ret;

	if (!is_ram_range(m, gfn, nr))
		return -EINVAL;
	/* Its memory is mapped for its devices by machine addresses, which this does not look for. */
	if (m->machine_addresses)
		return -EPERM;
	ret = iommu_gather_begin(&g, m->iommu);
	if (ret)
		return ret;

	spin_lock(&m->nested.lock);
	passed = unmap_frames(m, &g, gfn, nr, &unmapped);
	spin_unlock(&m->nested.lock);

	iommu_gather_commit(&g, unmapped);
	return passed ? (s64)passed : -ENOMEM;
}

/* Fill the hole at gfn with at most nr frames; how many, or the error. *held: frames that the
 * gather's batch must free. */
static s64 populate_hole(struct memory *m, struct iommu_gather *g, gfn_t gfn, u64 nr, u64 *held)
{
	unsigned int order = MIN(63 - __builtin_clzl(nr), ORDER_2M);
	struct nested_leaf at;
	u64 done = 0;
	mfn_t mfn;
	int ret;

	if (gfn)
		order = MIN(order, (unsigned int)__builtin_ctzl(gfn));
	/* Weir's own reserve stays as long as the pool has something. */
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
		ret = -EEXIST; /* another vCPU filled it meanwhile */
	else if (m->pages_owned + (1UL << order) > m->pages_limit)
		ret = -ENOMEM;
	if (ret) {
		free_frames(mfn, order);
	} else {
		ret = map_frames(m, g, gfn, mfn, order, &done);
		if (ret && done)
			unmap_frames(m, g, gfn, done, held);
	}
	spin_unlock(&m->nested.lock);
	return ret ? ret : (s64)(1UL << order);
}

s64 memory_populate(struct memory *m, gfn_t gfn, u64 nr)
{
	u64 done = 0, cleared = 0, held = 0;
	IOMMU_GATHER(g);
	s64 ret = 0;

	if (!is_ram_range(m, gfn, nr))
		return -EINVAL;
	ret = iommu_gather_begin(&g, m->iommu);
	if (ret)
		return ret;

	for (unsigned int steps = 0; done < nr && cleared < STEP_CLEAR && steps < STEP_ENTRIES;
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

int memory_map_device(struct memory *m, gfn_t gfn, mfn_t mfn, u64 nr)
{
	u64 done;
	int ret;

	spin_lock(&m->nested.lock);
	ret = nested_map(&m->nested, gfn, mfn, nr, NESTED_READ | NESTED_WRITE | NESTED_DEVICE, &done);
	if (ret && done)
		nested_unmap_device(&m->nested, gfn, done);
	spin_unlock(&m->nested.lock);
	return ret;
}

void memory_unmap_device(struct memory *m, gfn_t gfn, u64 nr)
{
	spin_lock(&m->nested.lock);
	if (nested_unmap_device(&m->nested, gfn, nr) < nr)
		log_warn("domain %s: no memory to unmap its device registers at 0x%lx", m->name,
			 gfn << PAGE_SHIFT);
	spin_unlock(&m->nested.lock);
	/* The registers stay the domain's own, so nobody has to wait for its CPUs to notice. */
	shootdown_kick(&m->nested);
}

/* Move *gfn into RAM if it is in the hole; how much RAM comes from there on, 0 at its end. */
static u64 ram_from(const struct memory *m, gfn_t *gfn)
{
	u64 low = MIN(m->pages_limit, LOW_RAM_END), high = m->pages_limit - low;

	if (*gfn < low)
		return low - *gfn;
	*gfn = MAX(*gfn, HIGH_RAM_START);
	return high - MIN(*gfn - HIGH_RAM_START, high);
}

int memory_renew_step(struct memory *m, gfn_t *gfn)
{
	u64 nr = ram_from(m, gfn), to_block = (1UL << ORDER_2M) - (*gfn & ((1UL << ORDER_2M) - 1));
	s64 there;
	int ret;

	if (!nr)
		return STEP_DONE;
	there = memory_populate(m, *gfn, MIN(nr, to_block));
	if (there < 0)
		return there == -EAGAIN ? STEP_WAIT : (int)there;
	ret = guest_zero(m, *gfn << PAGE_SHIFT, (u64)there << PAGE_SHIFT);
	*gfn += (u64)there;
	return ret ? ret : STEP_MORE;
}

enum step memory_empty_step(struct memory *m, gfn_t *gfn)
{
	enum step ret;

	spin_lock(&m->nested.lock);
	ret = nested_empty(&m->nested, gfn, STEP_ENTRIES, give_back, m);
	spin_unlock(&m->nested.lock);
	return ret;
}

/* One page at a time, under the lock: a release on another vCPU cannot take the frame away
 * meanwhile. */
static int copy(struct memory *m, gpaddr_t gpa, u64 len,
		void (*fn)(void *page, void *ctx, size_t n), void *buf)
{
	while (len) {
		size_t offset = gpa & ~PAGE_MASK, n = MIN(len, PAGE_SIZE - offset);
		struct nested_leaf at;
		bool ram;

		spin_lock(&m->nested.lock);
		at = nested_lookup(&m->nested, gpa >> PAGE_SHIFT);
		ram = at.flags && !(at.flags & NESTED_DEVICE);
		if (ram)
			fn((char *)mfn_to_virt(at.mfn) + offset, buf, n);
		spin_unlock(&m->nested.lock);
		if (!ram)
			return -EFAULT;
		gpa += n;
		len -= n;
		if (buf)
			buf = (char *)buf + n;
	}
	return 0;
}

static void copy_from(void *page, void *buf, size_t n)
{
	memcpy(buf, page, n);
}

static void copy_to(void *page, void *buf, size_t n)
{
	memcpy(page, buf, n);
}

static void clear(void *page, void *ctx __unused, size_t n)
{
	memset(page, 0, n);
}

int guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len)
{
	return copy(m, gpa, len, copy_from, buf);
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	return copy(m, gpa, len, copy_to, (void *)buf);
}

struct cmpxchg {
	u64 expected, desired;
	bool done;
};

static void exchange(void *word, void *arg, size_t n)
{
	struct cmpxchg *x = arg;
	u32 expected = (u32)x->expected;

	if (n == 4)
		x->done = atomic_cmpxchg((u32 *)word, &expected, (u32)x->desired);
	else
		x->done = atomic_cmpxchg((u64 *)word, &x->expected, x->desired);
}

int guest_cmpxchg(struct memory *m, gpaddr_t gpa, unsigned int size, u64 expected, u64 desired)
{
	struct cmpxchg x = { expected, desired, false };
	int ret = copy(m, gpa, size, exchange, &x);

	return ret ? ret : x.done ? 0 : -EBUSY;
}

int guest_zero(struct memory *m, gpaddr_t gpa, u64 len)
{
	return copy(m, gpa, len, clear, NULL);
}
