/* The pool: RAM that is lent to the control domain's devices, carved out and lent again. */
#include <kernel/guest/memory/pool.h>

#include <drivers/pci.h>
#include <kernel/core/background.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
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
#define TABLES 4UL /* that mapping one may take */
#define CARVE_STEP (1UL << ORDER_1G) /* frames carved out at once */
#define OWN_STEP 256UL /* leaves that one step maps of the owner's memory */

static struct {
	struct spinlock lock;
	struct memory *owner; /* NULL: there is no pool */
	void (*wake_all)(void);
	bool lends; /* beyond the owner's own memory, free RAM is lent ... */
	bool open; /* ... from now on */
	bool closed; /* the owner is ending */
	bool told; /* how much is lent, after the first time that all was */
	u32 lending; /* CPUs that are lending a block */
	u64 own, own_runs; /* the owner's own frames that are mapped, and their runs ... */
	mfn_t own_next; /* ... the last of which ends before this frame */
	struct rangeset set; /* frames lent */
	struct range range[POOL_RANGES];
	u32 carving; /* batches in flight that will free frames */
	u64 carved; /* their frames */
	u64 wanted; /* frames that are still to be carved out */
	struct background lender;
} pool = { .lock = SPINLOCK_INIT(LOCK_POOL) };

static enum step lend_step(struct background *b);

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

/* A cleared block from the allocator, unless that would use up the reserve or the memory for the
 * tables that map it: INVALID_MFN. Takes interrupts. */
static mfn_t take_block(void)
{
	mfn_t mfn;

	if (alloc_free_frames() < POOL_RESERVE + BLOCK + TABLES)
		return INVALID_MFN;
	mfn = alloc_frames(ORDER_2M);
	if (mfn != INVALID_MFN)
		clear_frames(mfn, BLOCK);
	return mfn;
}

/* Move the block to the pool's set; if that is full, back to the allocator. */
static bool add_block(mfn_t mfn)
{
	assert_locked(&pool.lock);
	if (rangeset_add(&pool.set, mfn, mfn + BLOCK - 1)) {
		log_warn("%s: no room for more than %u ranges (POOL_RANGES): the rest is not lent",
			 pool.set.name, POOL_RANGES);
		free_frames(mfn, ORDER_2M);
		return false;
	}
	if (frame_set(mfn, ORDER_2M, FRAME_RAM, pool.owner->owner))
		panic("frame table: a free block 0x%lx is in use", mfn);
	return true;
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

static void end_carving(void);

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
	rangeset_init(&pool.set, "memory lent to the control domain", pool.range, POOL_RANGES);
	background_init(&pool.lender, lend_step, true);
	if (policy == IDENTITY_NONE || iommu_why_absent())
		return;
	pool.owner = m;
	pool.wake_all = wake_all;
	pool.lends = policy >= IDENTITY_RELAXED;
	pool.open = pool.closed = pool.told = false;
	pool.own = pool.own_runs = 0;
	if (policy == IDENTITY_INCLUSIVE)
		map_reserved(m);
}

/* What is mapped, when it is complete for the first time. */
static void tell(void)
{
	u64 lent, runs;

	spin_lock(&pool.lock);
	lent = rangeset_count(&pool.set);
	runs = pool.own_runs + pool.set.nr;
	spin_unlock(&pool.lock);
	log_info("iommu: identity-mapped %lu MiB (%lu range%s) for the control domain's devices, "
		 "including %lu MiB of borrowed free memory",
		 (pool.own + lent) >> (20 - PAGE_SHIFT), runs, runs == 1 ? "" : "s",
		 lent >> (20 - PAGE_SHIFT));
}

/* Map one leaf of the nested tables, or a part of it that needs at most 512 entries. */
static int map_own_leaf(struct memory *m, struct iommu_gather *g, gfn_t *gfn, u64 nr)
{
	struct nested_leaf at;
	int ret = 0;

	spin_lock(&m->nested.lock);
	at = nested_lookup(&m->nested, *gfn);
	nr = MIN(nr, (1UL << at.order) - (*gfn & ((1UL << at.order) - 1)));
	nr = MIN(nr, OWN_STEP << iommu_leaf_order());
	if (at.flags && !(at.flags & NESTED_DEVICE)) {
		ret = iommu_map(g, at.mfn, at.mfn, nr, IOMMU_READ | IOMMU_WRITE);
		if (!ret) {
			pool.own_runs += at.mfn != pool.own_next;
			pool.own_next = at.mfn + nr;
			pool.own += nr;
		}
	}
	spin_unlock(&m->nested.lock);
	*gfn += nr;
	return ret;
}

enum step pool_map_own_step(struct memory *m, gfn_t *gfn)
{
	IOMMU_GATHER(g);
	u64 nr;
	int ret;

	if (pool.owner != m)
		return STEP_DONE;
	nr = memory_ram_from(m, gfn);
	if (!nr) {
		if (!pool.lends)
			tell();
		return STEP_DONE;
	}
	ret = iommu_gather_begin(&g, m->iommu);
	if (ret == -EAGAIN)
		return STEP_WAIT;
	if (!ret) {
		for (u64 left = OWN_STEP; !ret && nr && left; left--) {
			ret = map_own_leaf(m, &g, gfn, nr);
			nr = memory_ram_from(m, gfn);
			if (iommu_leaf_order() < ORDER_2M)
				break;
		}
		iommu_gather_commit(&g, 0);
	}
	if (!ret)
		return STEP_MORE;
	log_unmapped("memory", ret);
	spin_lock(&pool.lock);
	pool.closed = true;
	spin_unlock(&pool.lock);
	return STEP_DONE;
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

/* The highest part of a range of what is lent, at least nr frames if it has so many. If there is no
 * memory for a table, its first 1 GiB leaf is not split. Returns its size; 0: a leaf must be. */
static u64 highest_part(struct iommu_gather *g, const struct range *r, u64 nr)
{
	mfn_t end = r->last + 1, first = end - MIN(ALIGN_UP(nr, BLOCK), end - r->first);

	if (iommu_can_unmap(g, first, end - first))
		return end - first;
	first = MAX(r->first, ALIGN_DOWN(first, BIT(ORDER_1G)));
	return iommu_can_unmap(g, first, end - first) ? end - first : 0;
}

/* Carve out of the highest range first, which leaves low memory to those who need it. */
static bool carve_highest(u64 *nr)
{
	const struct range *r = &pool.set.range[pool.set.nr - 1];
	struct iommu_batch_user *u;
	mfn_t first;
	IOMMU_GATHER(g);
	u64 n;

	assert_locked(&pool.lock);
	if (iommu_gather_begin_unmap(&g, pool.owner->iommu))
		return false;
	n = highest_part(&g, r, *nr);
	if (!n) {
		iommu_gather_commit(&g, 0);
		return false;
	}
	first = r->last + 1 - n;
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

/* Carve out a bounded part of what is wanted. */
static void carve_some(void)
{
	u64 part = MIN(pool.wanted, CARVE_STEP), left = part;

	assert_locked(&pool.lock);
	while (left && !pool.closed && pool.set.nr && carve_highest(&left))
		;
	pool.wanted = pool.closed || !pool.set.nr ? 0 : pool.wanted - (part - left);
}

/* A batch has returned its memory: those who wait for memory may look again. */
static void end_carving(void)
{
	spin_lock(&pool.lock);
	pool.carving--;
	carve_some();
	spin_unlock(&pool.lock);
	pool.wake_all();
}

bool pool_reclaim(u64 nr)
{
	bool coming;

	spin_lock(&pool.lock);
	pool.wanted = MAX(pool.wanted, nr);
	carve_some();
	coming = pool.carving;
	if (!coming)
		pool.wanted = 0;
	spin_unlock(&pool.lock);
	return coming;
}

/* --- lending -------------------------------------------------------------- */

static bool may_lend(void)
{
	return pool.owner && pool.lends && pool.open && !pool.closed && !pool.carving;
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

/* Lend one more free block. False: none is free, or none may be lent now. */
static bool lend_block(void)
{
	mfn_t mfn = take_block();
	bool lent;

	if (mfn == INVALID_MFN)
		return false;
	spin_lock(&pool.lock);
	lent = may_lend();
	if (!lent)
		free_frames(mfn, ORDER_2M);
	lent = lent && add_block(mfn) && !map_block(mfn);
	spin_unlock(&pool.lock);
	return lent;
}

/* Each CPU that has nothing else to do lends a block. What fails now, since no batch or table is
 * free, a later pool_return() will do. */
static enum step lend_step(struct background *b __unused)
{
	bool lent, last;

	spin_lock(&pool.lock);
	lent = may_lend();
	pool.lending++;
	spin_unlock(&pool.lock);
	lent = lent && lend_block();
	spin_lock(&pool.lock);
	pool.lending--;
	last = !lent && !pool.lending && !pool.told && pool.owner;
	pool.told |= last;
	spin_unlock(&pool.lock);
	if (last)
		tell();
	return lent ? STEP_MORE : STEP_DONE;
}

void pool_return(void)
{
	if (read_once(&pool.owner) && read_once(&pool.open))
		background_queue(&pool.lender, ~0UL);
}

void pool_open(void)
{
	if (!pool.owner || !pool.lends)
		return;
	write_once(&pool.open, true);
	pool_return();
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
