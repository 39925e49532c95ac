/* The buddy allocator. The record of a free block's first frame holds the block's order and its
 * links in the list of that order; the other frames of the block are just FRAME_FREE. Blocks are
 * aligned to their size, so flipping one bit finds the buddy of a block, and one record tells
 * whether the buddy is free as a whole.
 *
 * Blocks change their type outside the lock: a block that is in no list belongs to the CPU that
 * allocates or frees it. */
#include <kernel/mm/alloc.h>

#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>
#include <kernel/mm/frame.h>

#define NO_FRAME 0xffffffffu
#define LOW_LIMIT 0x100 /* frames of the first MiB, kept for what must be there */

struct free_list {
	u32 head;
	u64 blocks;
};

enum zone_id { ZONE_NORMAL, ZONE_LOW, NR_ZONES };

/* Guards the lists, the counts, and the orders in the records of free blocks. */
static struct spinlock alloc_lock = SPINLOCK_INIT(LOCK_ALLOC);
static struct free_list lists[NR_ZONES][ALLOC_MAX_ORDER + 1] = {
	[0 ... NR_ZONES - 1] = { [0 ... ALLOC_MAX_ORDER] = { .head = NO_FRAME } },
};
static u64 free_count;

#ifdef WEIR_HOST
bool (*alloc_fail_hook)(unsigned int order);

bool alloc_should_fail(unsigned int order)
{
	return alloc_fail_hook && alloc_fail_hook(order);
}
#elif defined(WEIR_DEBUG)
static u64 fail_in, fail_every;

void alloc_fail(u64 first, u64 every)
{
	write_once(&fail_every, every);
	write_once(&fail_in, first);
}

static bool alloc_should_fail(unsigned int order)
{
	static struct log_limit limit = LOG_LIMIT_INIT(50);
	u64 n = read_once(&fail_in);

	do {
		if (!n)
			return false;
	} while (!atomic_cmpxchg(&fail_in, &n, n > 1 ? n - 1 : read_once(&fail_every)));
	if (n == 1 && log_allowed(&limit))
		log_debug("alloc: order %u fails, since it was asked for", order);
	return n == 1;
}
#else
static inline bool alloc_should_fail(unsigned int order __unused)
{
	return false;
}
#endif

/* --- what one step frees -------------------------------------------------- */

#if defined(WEIR_DEBUG) || defined(WEIR_HOST)
struct freed {
	u64 frames, blocks;
	bool counts; /* a step is running */
};

#ifdef WEIR_HOST
static struct freed *my_freed(void)
{
	static _Thread_local struct freed freed;

	return &freed;
}
#else
static struct freed *my_freed(void)
{
	static struct freed freed[MAX_CPUS];

	return &freed[this_cpu()->id];
}
#endif

static void count_freed(unsigned int order)
{
	my_freed()->frames += BIT(order);
	my_freed()->blocks++;
}

void alloc_step_begins(void)
{
	*my_freed() = (struct freed){ .counts = true };
}

void alloc_step_window(void)
{
	const struct freed *f = my_freed();

	if (!f->counts)
		return;
	if (f->frames > STEP_FREES_FRAMES || f->blocks > STEP_FREES_BLOCKS)
		panic("alloc: one step freed %lu frames in %lu blocks", (unsigned long)f->frames,
		      (unsigned long)f->blocks);
	alloc_step_begins();
}

void alloc_step_ends(void)
{
	alloc_step_window();
	*my_freed() = (struct freed){ 0 };
}
#else
static inline void count_freed(unsigned int order __unused)
{
}
#endif

/* --- lists ---------------------------------------------------------------- */

/* No block lies in both zones: insert_block() does not join across the limit, and alloc_add() cuts
 * there. */
static enum zone_id zone_of(mfn_t mfn)
{
	return mfn < LOW_LIMIT ? ZONE_LOW : ZONE_NORMAL;
}

static void list_push(mfn_t mfn, unsigned int order)
{
	struct free_list *l = &lists[zone_of(mfn)][order];
	struct frame_links *links = frame_links(mfn);

	assert_locked(&alloc_lock);
	links->prev = NO_FRAME;
	links->next = l->head;
	if (l->head != NO_FRAME)
		frame_links(l->head)->prev = mfn;
	l->head = mfn;
	l->blocks++;
	free_count += BIT(order);
	frame_set_free_order(mfn, order);
}

static void list_unlink(mfn_t mfn, unsigned int order)
{
	struct free_list *l = &lists[zone_of(mfn)][order];
	struct frame_links *links = frame_links(mfn);

	assert_locked(&alloc_lock);
	if (links->prev == NO_FRAME)
		l->head = links->next;
	else
		frame_links(links->prev)->next = links->next;
	if (links->next != NO_FRAME)
		frame_links(links->next)->prev = links->prev;
	l->blocks--;
	free_count -= BIT(order);
	frame_set_free_order(mfn, -1);
}

/* Put a block of FRAME_FREE frames into its list, joined with its buddies as far as they are
 * free. */
static void insert_block(mfn_t mfn, unsigned int order)
{
	assert_locked(&alloc_lock);
	for (; order < ALLOC_MAX_ORDER; order++) {
		mfn_t buddy = mfn ^ BIT(order);

		/* A block that was joined across 1 MiB would no longer be in the low zone. */
		if (!frame_valid(buddy) || zone_of(buddy) != zone_of(mfn) ||
		    frame_free_order(buddy) != (int)order)
			break;
		list_unlink(buddy, order);
		mfn &= ~BIT(order);
	}
	list_push(mfn, order);
}

/* Keep the first 1 << order frames of a block that is in no list any more; put back the rest. */
static void trim_block(mfn_t mfn, unsigned int have, unsigned int order)
{
	assert_locked(&alloc_lock);
	while (have > order) {
		have--;
		list_push(mfn + BIT(have), have);
	}
}

/* The smallest block of this zone that holds 1 << order frames below `limit`. */
static mfn_t take_block(enum zone_id zone, unsigned int order, mfn_t limit)
{
	assert_locked(&alloc_lock);
	for (unsigned int have = order; have <= ALLOC_MAX_ORDER; have++) {
		mfn_t mfn = lists[zone][have].head;

		while (mfn != NO_FRAME && mfn + BIT(order) > limit)
			mfn = frame_links(mfn)->next;
		if (mfn == NO_FRAME)
			continue;
		list_unlink(mfn, have);
		trim_block(mfn, have, order);
		return mfn;
	}
	return INVALID_MFN;
}

static mfn_t take_from(enum zone_id first, unsigned int order, mfn_t limit)
{
	enum zone_id second = first == ZONE_NORMAL ? ZONE_LOW : ZONE_NORMAL;
	mfn_t mfn;

	if (order > ALLOC_MAX_ORDER || alloc_should_fail(order))
		return INVALID_MFN;
	spin_lock(&alloc_lock);
	mfn = take_block(first, order, limit);
	if (mfn == INVALID_MFN)
		mfn = take_block(second, order, limit);
	spin_unlock(&alloc_lock);
	return mfn;
}

static mfn_t alloc_from(enum zone_id first, unsigned int order, mfn_t limit)
{
	mfn_t mfn = take_from(first, order, limit);
	int err;

	if (mfn == INVALID_MFN)
		return mfn;
	err = frame_set(mfn, order, FRAME_WEIR, OWNER_WEIR);
	if (err)
		panic("alloc: free frame %lx cannot be allocated: error %d", (unsigned long)mfn,
		      err);
	*frame_slab(mfn) = (struct frame_slab){ 0 };
	return mfn;
}

mfn_t alloc_frames(unsigned int order)
{
	return alloc_from(ZONE_NORMAL, order, INVALID_MFN);
}

mfn_t alloc_untyped(unsigned int order)
{
	return take_from(ZONE_NORMAL, order, INVALID_MFN);
}

mfn_t alloc_frames_below(unsigned int order, mfn_t limit)
{
	return alloc_from(limit <= LOW_LIMIT ? ZONE_LOW : ZONE_NORMAL, order, limit);
}

static void give_block(mfn_t mfn, unsigned int order)
{
	int err = frame_set(mfn, order, FRAME_FREE, OWNER_NONE);

	count_freed(order);
	if (err) {
		u64 i = 0;

		while (i + 1 < BIT(order) && !frame_dev_refs(mfn + i))
			i++;
		panic("alloc: block %lx (order %u) cannot be freed: "
		      "frame %lx has %llu device references, error %d",
		      (unsigned long)mfn, order, (unsigned long)(mfn + i),
		      (unsigned long long)frame_dev_refs(mfn + i), err);
	}
	spin_lock(&alloc_lock);
	insert_block(mfn, order);
	spin_unlock(&alloc_lock);
}

void free_frames(mfn_t mfn, unsigned int order)
{
	struct frame_info info;

	if (!frame_query(mfn, &info) || info.type == FRAME_FREE || info.type == FRAME_RESERVED)
		panic("alloc: frame %lx (order %u) freed, but it was not allocated",
		      (unsigned long)mfn, order);
	if (zone_of(mfn) != zone_of(mfn + BIT(order) - 1))
		panic("alloc: frame %lx (order %u) freed across 1 MiB", (unsigned long)mfn, order);
	give_block(mfn, order);
}

/* Frame 0 looks like "none" in many places, and contains the firmware's vectors. A frame that is
 * free already would end up in two blocks. */
static bool addable(mfn_t mfn)
{
	struct frame_info info;

	return mfn && frame_query(mfn, &info) && info.type != FRAME_FREE;
}

static void add_run(mfn_t mfn, mfn_t end)
{
	while (mfn < end) {
		mfn_t stop = mfn < LOW_LIMIT ? MIN(end, (mfn_t)LOW_LIMIT) : end;
		unsigned int order = MIN(__builtin_ctzl(mfn), ALLOC_MAX_ORDER);

		while (mfn + BIT(order) > stop)
			order--;
		give_block(mfn, order);
		mfn += BIT(order);
	}
}

void alloc_add(mfn_t mfn, u64 nr)
{
	mfn_t end = mfn + nr, from = mfn;
	u64 left_out = 0;

	for (; mfn < end; mfn++) {
		if (addable(mfn))
			continue;
		left_out += mfn != 0;
		add_run(from, mfn);
		from = mfn + 1;
	}
	add_run(from, end);
	if (left_out)
		log_warn("alloc: of %llu frames from %llx, %llu are left out: "
			 "they were free already, or have no record",
			 (unsigned long long)nr, (unsigned long long)(end - nr),
			 (unsigned long long)left_out);
}

u64 alloc_free_frames(void)
{
	return read_once(&free_count);
}

u64 alloc_free_blocks(unsigned int order)
{
	u64 n = 0;

	if (order > ALLOC_MAX_ORDER)
		return 0;
	for (unsigned int zone = 0; zone < NR_ZONES; zone++)
		n += read_once(&lists[zone][order].blocks);
	return n;
}

void *alloc_page(void)
{
	mfn_t mfn = alloc_frames(0);

	return mfn == INVALID_MFN ? NULL : memset(mfn_to_virt(mfn), 0, PAGE_SIZE);
}

void free_page(void *page)
{
	if (page)
		free_frames(virt_to_mfn(page), 0);
}
