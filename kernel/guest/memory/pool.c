/* The pool: RAM that is lent to the control domain's devices, carved out and lent again. */
#include <kernel/guest/memory/pool.h>

#include <drivers/pci.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/core/work.h>
#include <kernel/guest/memory/clear.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/bootmem.h>
#include <kernel/mm/frame.h>

/* Where I/O APICs are. */
#define IO_APICS_FIRST 0xfec00UL
#define IO_APICS_LAST 0xfecffUL

#define POOL_RANGES 256
#define BLOCK (1UL << ORDER_2M) /* the pool lends whole blocks of 2 MiB */

static struct {
	struct spinlock lock;
	struct memory *owner; /* NULL: there is no pool */
	void (*wake_all)(void);
	bool lends; /* beyond the owner's own memory, free RAM is lent */
	bool closed; /* the owner is ending */
	struct rangeset set; /* frames lent */
	struct range range[POOL_RANGES];
	u32 carving; /* batches in flight that will free frames */
	u64 carved; /* their frames */
	struct work returner;
} pool = { .lock = SPINLOCK_INIT(LOCK_POOL) };

static enum step lend_again_step(struct work *w);

u64 pool_frames(u64 *carved)
{
	u64 nr;

	spin_lock(&pool.lock);
	nr = rangeset_count(&pool.set);
	*carved = pool.carved;
	spin_unlock(&pool.lock);
	return nr;
}

/* --- lending -------------------------------------------------------------- */

/* The tables that mapping nr frames for devices takes, but for the ends of the ranges. */
static u64 tables_for(u64 nr)
{
	u64 tables = 0;

	for (unsigned int order = iommu_leaf_order() + 9; order <= 36; order += 9)
		tables += nr >> order;
	return tables;
}

/* A cleared block of this order from the allocator, unless that would use up the reserve or the
 * tables' memory for it and for `unmapped` other frames: INVALID_MFN. Takes interrupts. */
static mfn_t take_block(unsigned int order, u64 unmapped)
{
	u64 nr = 1UL << order;
	mfn_t mfn;

	if (alloc_free_frames() < POOL_RESERVE + nr + tables_for(unmapped + nr))
		return INVALID_MFN;
	mfn = alloc_frames(order);
	if (mfn != INVALID_MFN)
		clear_frames(mfn, nr);
	return mfn;
}

/* Move the block to the pool's set; if that is full, back to the allocator. */
static bool add_block(mfn_t mfn, unsigned int order)
{
	assert_locked(&pool.lock);
	if (rangeset_add(&pool.set, mfn, mfn + (1UL << order) - 1)) {
		log_warn("%s: no room for more than %u ranges (POOL_RANGES): the rest is not lent",
			 pool.set.name, POOL_RANGES);
		free_frames(mfn, order);
		return false;
	}
	if (frame_set(mfn, order, FRAME_RAM, pool.owner->owner))
		panic("frame table: a free block 0x%lx is in use", mfn);
	return true;
}

/* Lend all that is free. */
static void lend_all(u64 own)
{
	for (unsigned int order = ALLOC_MAX_ORDER; order >= ORDER_2M; order--) {
		bool lent = true;
		mfn_t mfn;

		while (lent) {
			u64 carved, unmapped = own + pool_frames(&carved);

			mfn = take_block(order, unmapped);
			if (mfn == INVALID_MFN)
				break;
			spin_lock(&pool.lock);
			lent = add_block(mfn, order);
			spin_unlock(&pool.lock);
			irq_window();
		}
	}
}

/* Return the last block of the set to the allocator. False: the set is empty. */
static bool free_last_block(void)
{
	mfn_t mfn = INVALID_MFN;

	spin_lock(&pool.lock);
	if (pool.set.nr) {
		const struct range *r = &pool.set.range[pool.set.nr - 1];

		mfn = r->last + 1 - BLOCK;
		(void)rangeset_remove(&pool.set, mfn, r->last);
	}
	spin_unlock(&pool.lock);
	if (mfn != INVALID_MFN)
		free_frames(mfn, ORDER_2M);
	return mfn != INVALID_MFN;
}

/* --- the identity map ----------------------------------------------------- */

static void log_unmapped(const char *what, int error)
{
	log_err("iommu: cannot map the control domain's %s (error %d): "
		"its devices will not reach it",
		what, -error);
}

/* Add the frames of the control domain's own memory, found in its nested tables. */
static int add_own(struct memory *m, struct rangeset *set)
{
	gfn_t gfn = 0;
	u64 left = m->pages_owned;
	int ret = 0;

	spin_lock(&m->nested.lock);
	while (left && !ret) {
		struct nested_leaf at = nested_lookup(&m->nested, gfn);

		if (at.flags && !(at.flags & NESTED_DEVICE)) {
			ret = rangeset_add(set, at.mfn, at.mfn + (1UL << at.order) - 1);
			left -= 1UL << at.order;
		}
		gfn = ALIGN_DOWN(gfn, 1UL << at.order) + (1UL << at.order);
	}
	spin_unlock(&m->nested.lock);
	return ret;
}

/* Map the set. After an error, *undoing: a batch may still hold references to the frames, and *undo
 * is what it does when it is complete; else nothing was mapped. */
static int map_set(struct memory *m, const struct rangeset *set, u32 flags,
		   const struct iommu_batch_user *undo, bool *undoing)
{
	IOMMU_GATHER(g);
	int ret = iommu_gather_begin(&g, m->iommu);

	*undoing = false;
	if (ret)
		return ret;
	ret = identity_map(&g, set, flags);
	if (ret && undo->step) {
		*undoing = true;
		*iommu_gather_user(&g) = *undo;
	}
	iommu_gather_commit(&g, 0);
	return ret;
}

/* A batch has returned its memory: those who wait for memory may look again. */
static void end_carving(void)
{
	spin_lock(&pool.lock);
	pool.carving--;
	spin_unlock(&pool.lock);
	pool.wake_all();
}

/* Every party has answered the batch of a map that failed: return one block per call to the
 * allocator. */
static enum step free_unmapped_step(struct iommu_batch *b __unused)
{
	if (free_last_block())
		return STEP_MORE;
	end_carving();
	return STEP_DONE;
}

/* Nothing of it is mapped: return all that is lent to the allocator. Returns the error. */
static int give_up(int error)
{
	spin_lock(&pool.lock);
	pool.closed = true;
	spin_unlock(&pool.lock);
	while (free_last_block())
		irq_window();
	return error;
}

/* Map all that is lent, and the control domain's own memory. If it fails, nothing is lent. */
static int map_all(struct memory *m, const struct rangeset *all)
{
	const struct iommu_batch_user undo = { .step = free_unmapped_step };
	bool undoing;
	int ret;

	spin_lock(&pool.lock);
	ret = map_set(m, all, 0, &undo, &undoing);
	if (ret)
		pool.closed = true;
	pool.carving += undoing;
	spin_unlock(&pool.lock);
	return ret && !undoing ? give_up(ret) : ret;
}

static void map_reserved(struct memory *m)
{
	static struct range ranges[64], hole[64];
	const struct iommu_batch_user nothing = { .step = NULL };
	struct rangeset set, holes;
	bool undoing;
	int ret;

	rangeset_init(&set, "reserved memory for the control domain", ranges, ARRAY_SIZE(ranges));
	rangeset_init(&holes, "memory that must not be mapped", hole, ARRAY_SIZE(hole));
	ret = rangeset_add(&holes, IO_APICS_FIRST, IO_APICS_LAST);
	rangeset_for_each(r, bootmem_ram())
		if (!ret)
			ret = rangeset_add(&holes, r->first, r->last);
	if (!ret)
		ret = pci_add_ecam(&holes);
	if (!ret)
		ret = identity_reserved(bootmem_reserved(), &holes, &set);
	if (!ret)
		ret = map_set(m, &set, IOMMU_NOT_RAM, &nothing, &undoing);
	if (ret)
		log_unmapped("reserved memory", ret);
	else
		log_info("iommu: mapped %lu reserved pages (%u range%s) for the control "
			 "domain's devices",
			 rangeset_count(&set), set.nr, set.nr == 1 ? "" : "s");
}

void pool_start(struct memory *m, enum identity_policy policy, void (*wake_all)(void))
{
	static struct range ranges[POOL_RANGES];
	struct rangeset all;
	int ret;

	rangeset_init(&pool.set, "memory lent to the control domain", pool.range, POOL_RANGES);
	rangeset_init(&all, "the control domain's identity map", ranges, POOL_RANGES);
	work_init(&pool.returner, lend_again_step);
	if (policy == IDENTITY_NONE || iommu_why_absent())
		return;
	pool.owner = m;
	pool.wake_all = wake_all;
	pool.lends = policy >= IDENTITY_RELAXED;
	pool.closed = false;
	if (pool.lends)
		lend_all(m->pages_owned);
	ret = add_own(m, &all);
	rangeset_for_each(r, &pool.set)
		if (!ret)
			ret = rangeset_add(&all, r->first, r->last);
	ret = ret ? give_up(ret) : map_all(m, &all);
	if (ret) {
		log_unmapped("memory", ret);
		return;
	}
	log_info("iommu: identity-mapped %lu MiB (%u range%s) for the control domain's devices, "
		 "including %lu MiB of borrowed free memory",
		 rangeset_count(&all) >> (20 - PAGE_SHIFT), all.nr, all.nr == 1 ? "" : "s",
		 rangeset_count(&pool.set) >> (20 - PAGE_SHIFT));
	if (policy == IDENTITY_INCLUSIVE)
		map_reserved(m);
}

/* --- carving out ---------------------------------------------------------- */

/* Every party has answered the batch: return one block per call to the allocator. */
static enum step free_carved_step(struct iommu_batch *b)
{
	struct iommu_batch_user *u = iommu_batch_user(b);

	free_frames(u->word[0], ORDER_2M);
	u->word[0] += BLOCK;
	spin_lock(&pool.lock);
	pool.carved -= BLOCK;
	spin_unlock(&pool.lock);
	if (u->word[0] < u->word[1])
		return STEP_MORE;
	end_carving();
	return STEP_DONE;
}

/* Carve out of the highest range first, which leaves low memory to those who need it. */
static bool carve_highest(u64 *nr)
{
	const struct range *r = &pool.set.range[pool.set.nr - 1];
	u64 len = r->last - r->first + 1, n = MIN(ALIGN_UP(*nr, BLOCK), len);
	mfn_t first = r->last + 1 - n;
	struct iommu_batch_user *u;
	IOMMU_GATHER(g);

	assert_locked(&pool.lock);
	if (iommu_gather_begin(&g, pool.owner->iommu))
		return false;
	iommu_unmap(&g, first, n);
	u = iommu_gather_user(&g);
	u->step = free_carved_step;
	u->word[0] = first;
	u->word[1] = first + n;
	/* The end of a range is removed, so the set needs no additional entry. */
	BUG_ON(rangeset_remove(&pool.set, first, first + n - 1));
	pool.carving++;
	pool.carved += n;
	*nr -= MIN(*nr, n);
	iommu_gather_commit(&g, n);
	return true;
}

bool pool_reclaim(u64 nr)
{
	bool coming;

	spin_lock(&pool.lock);
	while (nr && !pool.closed && pool.set.nr && carve_highest(&nr))
		;
	coming = pool.carving;
	spin_unlock(&pool.lock);
	return coming;
}

void pool_make_room(u64 nr)
{
	while (alloc_free_frames() < nr + POOL_RESERVE) {
		if (!pool_reclaim(nr + POOL_RESERVE - alloc_free_frames()))
			return;
		while (work_run())
			;
		if (alloc_free_frames() < nr + POOL_RESERVE)
			irq_wait();
	}
}

/* --- lending again -------------------------------------------------------- */

static bool may_lend(void)
{
	return pool.owner && pool.lends && !pool.closed && !pool.carving;
}

/* Map the block, which is in the set. If that fails, it goes back to the allocator. */
static int map_block(mfn_t mfn)
{
	const struct iommu_batch_user undo = { .step = free_carved_step,
					       .word = { mfn, mfn + BLOCK } };
	struct range range[1] = { { mfn, mfn + BLOCK - 1 } };
	struct rangeset one = { "a block for the pool", range, 1, 1 };
	bool undoing;
	int ret;

	assert_locked(&pool.lock);
	ret = map_set(pool.owner, &one, 0, &undo, &undoing);
	if (!ret)
		return 0;
	(void)rangeset_remove(&pool.set, mfn, mfn + BLOCK - 1);
	if (undoing) {
		pool.carving++;
		pool.carved += BLOCK;
	} else {
		free_frames(mfn, ORDER_2M);
	}
	return ret;
}

/* Lend one more free block per step. What fails now, since no batch or table is free, a later
 * pool_return() will do. */
static enum step lend_again_step(struct work *w __unused)
{
	bool lent = false;
	mfn_t mfn;

	spin_lock(&pool.lock);
	lent = may_lend();
	spin_unlock(&pool.lock);
	mfn = lent ? take_block(ORDER_2M, 0) : INVALID_MFN;
	if (mfn == INVALID_MFN)
		return STEP_DONE;
	spin_lock(&pool.lock);
	lent = may_lend();
	if (!lent)
		free_frames(mfn, ORDER_2M);
	lent = lent && add_block(mfn, ORDER_2M) && !map_block(mfn);
	spin_unlock(&pool.lock);
	return lent ? STEP_MORE : STEP_DONE;
}

void pool_return(void)
{
	if (read_once(&pool.owner))
		work_queue(&pool.returner);
}

void pool_close(struct memory *m)
{
	spin_lock(&pool.lock);
	pool.closed = pool.closed || pool.owner == m;
	spin_unlock(&pool.lock);
}

enum step pool_end_step(struct memory *m)
{
	if (pool.owner != m)
		return STEP_DONE;
	if (free_last_block())
		return STEP_MORE;
	spin_lock(&pool.lock);
	pool.owner = NULL;
	spin_unlock(&pool.lock);
	return STEP_DONE;
}
