/* sources: $(FRAME_SRCS) */
/* The frame table: each rule of its contract; then random programs compared with a reference that
 * keeps a plain count per frame and scans every frame each time; then threads that race block
 * references against type changes. */
#include "test.h"

#include <pthread.h>
#include <sched.h>

#include <kernel/lib/errno.h>
#include <kernel/mm/frameref.h>
#include <kernel/mm/frame.h>

#define FRAMES_1G (1UL << ORDER_1G)
#define FRAMES_2M (1UL << ORDER_2M)

static void *table;

static void fresh(u64 nr_frames)
{
	free(table);
	table = aligned_alloc(PAGE_SIZE, ALIGN_UP(frame_table_size(nr_frames), PAGE_SIZE));
	memset(table, 0, frame_table_size(nr_frames));
	frame_table_init(table, nr_frames);
}

static void ram(mfn_t mfn, unsigned int order, u16 owner)
{
	assert_int_equal(frame_set(mfn, order, FRAME_RAM, owner), 0);
}

static void test_size(void **state)
{
	(void)state;
	/* At most 4.2 MB for each GiB of RAM, in decimal megabytes with one decimal place. */
	assert_in_range(frame_table_size(FRAMES_1G), 4 << 20, 4250000);
}

static void test_starts_reserved(void **state)
{
	struct frame_info info;

	(void)state;
	fresh(1000);
	assert_true(frame_query(999, &info));
	assert_int_equal(info.type, FRAME_RESERVED);
	assert_int_equal(info.owner, OWNER_NONE);
	assert_int_equal(info.own_refs + info.block_refs, 0);
	assert_false(frame_query(1000, &info));
	assert_false(frame_valid(1000));
	assert_false(frame_valid(INVALID_MFN));
	assert_int_equal(frame_get_dev(5, ORDER_4K, 1), -EPERM);
	assert_int_equal(frame_get_dev(5, ORDER_4K, OWNER_NONE), -EPERM);
	assert_int_equal(frame_get_dev(0, ORDER_2M, OWNER_NONE), -EPERM);
	assert_int_equal(frame_get_dev(1000, ORDER_4K, 1), -EINVAL);
	assert_int_equal(frame_get_dev(512, ORDER_2M, 1),
			 -EINVAL); /* the block has only 488 frames */
	assert_int_equal(frame_get_dev(3, ORDER_2M, 1), -EINVAL);
	assert_int_equal(frame_get_dev(INVALID_MFN, ORDER_4K, 1), -EINVAL);
	assert_int_equal(frame_set(512, ORDER_2M, FRAME_FREE, OWNER_NONE), -EINVAL);
	assert_int_equal(frame_set(1, 1, FRAME_FREE, OWNER_NONE), -EINVAL);
	assert_int_equal(frame_set(0, ORDER_4K, FRAME_RAM, OWNER_NONE), -EINVAL);
}

static void test_references_by_size(void **state)
{
	(void)state;
	fresh(2 * FRAMES_1G);
	ram(FRAMES_1G, ORDER_1G, 7);
	assert_int_equal(frame_get_dev(FRAMES_1G, ORDER_1G, 7), 0);
	assert_int_equal(frame_get_dev(FRAMES_1G + 512, ORDER_2M, 7), 0);
	assert_int_equal(frame_get_dev(FRAMES_1G + 515, ORDER_4K, 7), 0);
	assert_int_equal(frame_dev_refs(FRAMES_1G + 515), 3);
	assert_int_equal(frame_dev_refs(FRAMES_1G + 514), 2);
	assert_int_equal(frame_dev_refs(FRAMES_1G), 1);
	assert_int_equal(frame_get_dev(FRAMES_1G, ORDER_1G, 8), -EPERM);
	assert_int_equal(frame_get_dev(FRAMES_1G + 1, ORDER_4K, 8), -EPERM);
	frame_put_dev(FRAMES_1G, ORDER_1G);
	assert_int_equal(frame_set(FRAMES_1G + 515, 0, FRAME_FREE, OWNER_NONE), -EBUSY);
	frame_put_dev(FRAMES_1G + 515, ORDER_4K);
	assert_int_equal(frame_set(FRAMES_1G + 515, 0, FRAME_FREE, OWNER_NONE), -EBUSY);
	assert_int_equal(frame_set(FRAMES_1G, ORDER_1G, FRAME_FREE, OWNER_NONE), -EBUSY);
	/* The refused calls changed nothing: the blocks are still whole. */
	assert_int_equal(frame_get_dev(FRAMES_1G, ORDER_1G, 7), 0);
	frame_put_dev(FRAMES_1G, ORDER_1G);
	frame_put_dev(FRAMES_1G + 512, ORDER_2M);
	assert_int_equal(frame_set(FRAMES_1G + 515, 0, FRAME_FREE, OWNER_NONE), 0);
	assert_int_equal(frame_get_dev(FRAMES_1G, ORDER_1G, 7), -EPERM);
	assert_int_equal(frame_get_dev(FRAMES_1G + 512, ORDER_2M, 7), -EPERM);
	assert_int_equal(frame_get_dev(FRAMES_1G + 1024, ORDER_2M, 7), 0);
	frame_put_dev(FRAMES_1G + 1024, ORDER_2M);
}

static void test_special_frames_conflict(void **state)
{
	(void)state;
	fresh(FRAMES_1G);
	ram(0, ORDER_1G, 3);
	assert_int_equal(frame_get_dev(0, ORDER_1G, 3), 0);
	assert_int_equal(frame_set(77, 0, FRAME_IO_TABLE, OWNER_WEIR), -EBUSY);
	frame_put_dev(0, ORDER_1G);
	assert_int_equal(frame_set(77, 0, FRAME_IO_TABLE, OWNER_WEIR), 0);
	assert_int_equal(frame_get_dev(0, ORDER_1G, 3), -EBUSY);
	assert_int_equal(frame_get_dev(0, ORDER_2M, 3), -EBUSY);
	assert_int_equal(frame_get_dev(77, ORDER_4K, 3), -EBUSY);
	assert_int_equal(frame_get_dev(78, ORDER_4K, 3), 0);
	assert_int_equal(frame_get_dev(512, ORDER_2M, 3), 0);
	frame_table_counts(77)->present = 5;
	/* Set back to RAM one by one: no longer special, but not whole either. */
	assert_int_equal(frame_set(77, 0, FRAME_NESTED_TABLE, OWNER_WEIR), 0);
	assert_int_equal(frame_get_dev(0, ORDER_2M, 3), -EBUSY);
	ram(77, 0, 3);
	assert_int_equal(frame_get_dev(0, ORDER_2M, 3), -EPERM);
	frame_put_dev(78, ORDER_4K);
	ram(0, ORDER_2M, 3);
	assert_int_equal(frame_get_dev(0, ORDER_2M, 3), 0);
	assert_int_equal(frame_set(77, 0, FRAME_IO_TABLE, 3), -EBUSY);
	frame_put_dev(0, ORDER_2M);
	assert_int_equal(frame_set(77, 0, FRAME_IO_TABLE, 3), 0);
	assert_int_equal(frame_table_counts(77)->present, 0);
	frame_put_dev(512, ORDER_2M);
	/* A whole block becomes special at once, and its type changes while it is special. */
	assert_int_equal(frame_set(0, ORDER_1G, FRAME_NESTED_TABLE, OWNER_WEIR), 0);
	assert_int_equal(frame_set(0, ORDER_1G, FRAME_IO_TABLE, OWNER_WEIR), 0);
	ram(0, ORDER_1G, 4);
	assert_int_equal(frame_get_dev(0, ORDER_1G, 4), 0);
}

/* A block of 1 GiB that became RAM in blocks of 2 MiB is mapped as a whole once they are joined. */
static void test_join(void **state)
{
	(void)state;
	fresh(2 * FRAMES_1G);
	for (mfn_t m = 0; m < FRAMES_1G; m += FRAMES_2M) {
		assert_int_equal(frame_join(0, 1), -EPERM);
		ram(m, ORDER_2M, 1);
	}
	assert_int_equal(frame_get_dev(0, ORDER_1G, 1), -EPERM);
	assert_int_equal(frame_join(0, 2), -EPERM);
	assert_int_equal(frame_join(FRAMES_2M, 1), -EINVAL);
	assert_int_equal(frame_join(2 * FRAMES_1G, 1), -EINVAL);
	assert_int_equal(frame_join(0, 1), 0);
	assert_int_equal(frame_get_dev(0, ORDER_1G, 1), 0);
	assert_int_equal(frame_set(5, ORDER_4K, FRAME_FREE, OWNER_NONE), -EBUSY);
	frame_put_dev(0, ORDER_1G);

	/* One frame of another owner, and one block. */
	ram(FRAMES_2M + 5, ORDER_4K, 2);
	assert_int_equal(frame_join(0, 1), -EPERM);
	ram(FRAMES_2M, ORDER_2M, 2);
	assert_int_equal(frame_join(0, 1), -EPERM);
	assert_int_equal(frame_get_dev(0, ORDER_1G, 1), -EPERM);
	ram(FRAMES_2M, ORDER_2M, 1);
	assert_int_equal(frame_join(0, 1), 0);
	assert_int_equal(frame_get_dev(0, ORDER_1G, 1), 0);
}

static void test_split_and_merge(void **state)
{
	(void)state;
	fresh(FRAMES_1G);
	ram(0, ORDER_1G, 3);
	assert_int_equal(frame_get_dev(0, ORDER_1G, 3), 0);
	frame_split_dev(0, ORDER_1G);
	frame_split_dev(512, ORDER_2M);
	for (mfn_t m = 0; m < FRAMES_1G; m++)
		assert_int_equal(frame_dev_refs(m), 1);
	frame_put_dev(600, ORDER_4K);
	assert_int_equal(frame_dev_refs(600), 0);
	assert_int_equal(frame_set(600, 0, FRAME_FREE, OWNER_NONE), 0);
	ram(600, 0, 3);
	assert_int_equal(frame_get_dev(600, ORDER_4K, 3), 0);
	/* All 512 frames hold a reference: the merge makes the block whole again, and the block
	 * above too. */
	frame_merge_dev(512, ORDER_2M);
	assert_int_equal(frame_get_dev(512, ORDER_2M, 3), 0);
	frame_merge_dev(0, ORDER_1G);
	assert_int_equal(frame_get_dev(0, ORDER_1G, 3), 0);
	assert_int_equal(frame_dev_refs(0), 2);
	assert_int_equal(frame_dev_refs(600), 3);
}

static void put_many(mfn_t mfn, unsigned int order, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		frame_put_dev(mfn + (i << order), order);
}

static void test_many_all_or_none(void **state)
{
	(void)state;
	fresh(4 * FRAMES_2M);
	ram(0, 10, 9);
	assert_int_equal(frame_get_dev_many(3, ORDER_4K, 1000, 9), 0);
	assert_int_equal(frame_get_dev_many(3, ORDER_4K, 1022, 9), -EPERM);
	for (mfn_t m = 0; m < 1100; m++)
		assert_int_equal(frame_dev_refs(m), m >= 3 && m < 1003);
	put_many(3, ORDER_4K, 1000);
	assert_int_equal(frame_get_dev_many(0, ORDER_2M, 2, 9), 0);
	assert_int_equal(frame_get_dev_many(0, ORDER_2M, 3, 9), -EPERM);
	assert_int_equal(frame_get_dev_many(0, ORDER_2M, 5, 9), -EINVAL);
	assert_int_equal(frame_get_dev_many(0, ORDER_4K, 1UL << 60, 9), -EINVAL);
	assert_int_equal(frame_dev_refs(1023), 1);
	put_many(0, ORDER_2M, 2);
	assert_int_equal(frame_set(0, 11, FRAME_FREE, OWNER_NONE), 0);
}

static void test_underflow_panics(void **state)
{
	(void)state;
	fresh(FRAMES_2M);
	ram(0, ORDER_2M, 1);
	expect_panic(frame_put_dev(0, ORDER_4K));
	expect_panic(frame_put_dev(0, ORDER_2M));
	expect_panic(frame_put_dev(FRAMES_2M, ORDER_4K));
	expect_panic(frame_split_dev(0, ORDER_1G));
}

static void test_count_is_limited(void **state)
{
	int err;
	u64 n = 0;

	(void)state;
	fresh(1);
	ram(0, 0, 1);
	while (!(err = frame_get_dev(0, ORDER_4K, 1)))
		n++;
	assert_int_equal(err, -ERANGE);
	assert_int_equal(n, 1 << 25);
	assert_int_equal(frame_dev_refs(0), n);
}

/* --- random programs against a reference ---------------------------------- */

#define REF_FRAMES (3 * FRAMES_2M + 100)

struct ref {
	enum frame_type type;
	u16 owner;
	u32 own;
};
static struct ref ref[REF_FRAMES];
static u32 ref_block[3];
static bool ref_whole[3]; /* set or merged as a whole, and no frame of it changed since */

static bool ref_special(mfn_t m)
{
	return ref[m].type == FRAME_IO_TABLE || ref[m].type == FRAME_NESTED_TABLE;
}

static int ref_get(mfn_t m, unsigned int order, u16 owner)
{
	if (order == ORDER_4K) {
		if (m >= REF_FRAMES)
			return -EINVAL;
		if (ref_special(m))
			return -EBUSY;
		if (ref[m].type != FRAME_RAM || ref[m].owner != owner)
			return -EPERM;
		ref[m].own++;
		return 0;
	}
	if (m + FRAMES_2M > REF_FRAMES)
		return -EINVAL;
	for (u64 i = 0; i < FRAMES_2M; i++)
		if (ref_special(m + i))
			return -EBUSY;
	for (u64 i = 0; i < FRAMES_2M; i++)
		if (ref[m + i].type != FRAME_RAM || ref[m + i].owner != owner)
			return -EPERM;
	if (!ref_whole[m / FRAMES_2M])
		return -EPERM;
	ref_block[m / FRAMES_2M]++;
	return 0;
}

static int ref_set(mfn_t m, unsigned int order, enum frame_type type, u16 owner)
{
	u64 nr = 1UL << order;

	if (m + nr > REF_FRAMES)
		return -EINVAL;
	for (u64 i = 0; i < nr; i++)
		if (ref[m + i].own || (m + i < 3 * FRAMES_2M && ref_block[(m + i) / FRAMES_2M]))
			return -EBUSY;
	for (u64 i = 0; i < nr; i++) {
		ref[m + i].type = type;
		ref[m + i].owner = owner;
	}
	for (u64 b = 0; b < 3; b++)
		if (m < (b + 1) * FRAMES_2M && m + nr > b * FRAMES_2M)
			ref_whole[b] = order >= ORDER_2M && type == FRAME_RAM;
	return 0;
}

static void compare(void)
{
	for (mfn_t m = 0; m < REF_FRAMES; m++) {
		struct frame_info info;
		u32 block = m < 3 * FRAMES_2M ? ref_block[m / FRAMES_2M] : 0;

		assert_true(frame_query(m, &info));
		assert_int_equal(info.type, ref[m].type);
		assert_int_equal(info.owner, ref[m].owner);
		assert_int_equal(info.own_refs, ref[m].own);
		assert_int_equal(info.block_refs, block);
	}
}

static bool all_held(u64 b)
{
	for (u64 i = 0; i < FRAMES_2M; i++)
		if (!ref[b * FRAMES_2M + i].own)
			return false;
	return true;
}

static void random_step(void)
{
	static const enum frame_type types[] = { FRAME_FREE,	    FRAME_WEIR, FRAME_RAM,
						 FRAME_RAM,	    FRAME_RAM,	FRAME_IO_TABLE,
						 FRAME_NESTED_TABLE };
	u16 owner = 1 + rand() % 2;
	mfn_t m = rand() % REF_FRAMES;
	u64 b = rand() % 3;
	unsigned int order;
	enum frame_type type;

	switch (rand() % 10) {
	case 0:
	case 1:
		order = rand() % 3 ? rand() % 11 : ORDER_2M;
		m = ALIGN_DOWN(m, 1UL << order);
		type = types[rand() % ARRAY_SIZE(types)];
		assert_int_equal(frame_set(m, order, type, owner), ref_set(m, order, type, owner));
		break;
	case 2:
	case 3:
		assert_int_equal(frame_get_dev(m, ORDER_4K, owner), ref_get(m, ORDER_4K, owner));
		break;
	case 4:
		m = ALIGN_DOWN(m, FRAMES_2M);
		assert_int_equal(frame_get_dev(m, ORDER_2M, owner), ref_get(m, ORDER_2M, owner));
		break;
	case 5: /* drop all references in a stretch, so that some calls of frame_set() succeed */
		for (u64 i = m; i < REF_FRAMES; i++)
			for (; ref[i].own; ref[i].own--)
				frame_put_dev(i, ORDER_4K);
		break;
	case 6:
		for (; ref_block[b]; ref_block[b]--)
			frame_put_dev(b * FRAMES_2M, ORDER_2M);
		break;
	case 7:
		if (!ref_block[b])
			break;
		frame_split_dev(b * FRAMES_2M, ORDER_2M);
		ref_block[b]--;
		for (u64 i = 0; i < FRAMES_2M; i++)
			ref[b * FRAMES_2M + i].own++;
		break;
	case 8:
		if (!all_held(b))
			break;
		frame_merge_dev(b * FRAMES_2M, ORDER_2M);
		ref_block[b]++;
		ref_whole[b] = true;
		for (u64 i = 0; i < FRAMES_2M; i++)
			ref[b * FRAMES_2M + i].own--;
		break;
	case 9: { /* many: the reference takes them one by one, and drops them again if one fails */
		u64 nr = 1 + rand() % 700;
		int want = m + nr > REF_FRAMES ? -EINVAL : 0;

		for (u64 i = 0; !want && i < nr; i++) {
			want = ref_get(m + i, ORDER_4K, owner);
			if (want)
				while (i--)
					ref[m + i].own--;
		}
		assert_int_equal(frame_get_dev_many(m, ORDER_4K, nr, owner), want);
		break;
	}
	}
}

static void test_random(void **state)
{
	unsigned int seed = test_seed();

	(void)state;
	srand(seed);
	for (int round = 0; round < 20; round++) {
		fresh(REF_FRAMES);
		memset(ref, 0, sizeof(ref));
		memset(ref_block, 0, sizeof(ref_block));
		memset(ref_whole, 0, sizeof(ref_whole));
		for (mfn_t m = 0; m < REF_FRAMES; m++)
			ref[m].owner = OWNER_NONE;
		for (int i = 0; i < 300; i++) {
			random_step();
			if (i % 10 == 0)
				compare();
		}
		compare();
	}
}

/* --- interleavings -------------------------------------------------------- */

/* Another CPU that holds references and moves them between sizes, one step at a time, at any point
 * inside frame_set(). It holds nothing, the whole GiB at one of three sizes, or only block 0. */
static enum { HOLD_NONE, HOLD_1G, HOLD_2M, HOLD_4K, HOLD_BLOCK } hold;

static void other_cpu_step(void)
{
	switch (hold) {
	case HOLD_NONE:
		if (rand() % 3 == 0) {
			if (!frame_get_dev(0, ORDER_2M, 5))
				hold = HOLD_BLOCK;
		} else if (rand() % 2) {
			if (!frame_get_dev(0, ORDER_1G, 5))
				hold = HOLD_1G;
		} else if (!frame_get_dev_many(512, ORDER_2M, 511, 5)) {
			/* Like a mapping with leaves of two sizes that may collapse later. */
			if (!frame_get_dev_many(0, ORDER_4K, 512, 5))
				hold = HOLD_4K;
			else
				put_many(512, ORDER_2M, 511);
		}
		break;
	case HOLD_1G:
		if (rand() % 2) {
			frame_split_dev(0, ORDER_1G);
			hold = HOLD_2M;
		} else {
			frame_put_dev(0, ORDER_1G);
			hold = HOLD_NONE;
		}
		break;
	case HOLD_2M:
		switch (rand() % 3) {
		case 0:
			frame_merge_dev(0, ORDER_1G);
			hold = HOLD_1G;
			break;
		case 1:
			frame_split_dev(0, ORDER_2M);
			hold = HOLD_4K;
			break;
		case 2:
			put_many(0, ORDER_2M, 512);
			hold = HOLD_NONE;
			break;
		}
		break;
	case HOLD_4K:
		if (rand() % 3) {
			frame_merge_dev(0, ORDER_2M);
			hold = HOLD_2M;
		} else {
			put_many(0, ORDER_4K, 512);
			put_many(512, ORDER_2M, 511);
			hold = HOLD_NONE;
		}
		break;
	case HOLD_BLOCK:
		frame_put_dev(0, ORDER_2M);
		hold = HOLD_NONE;
		break;
	}
}

static void other_cpu(void)
{
	for (int n = rand() % 4; n > 0; n--)
		other_cpu_step();
}

static void test_interleavings(void **state)
{
	static const enum frame_type types[] = { FRAME_FREE, FRAME_IO_TABLE };
	u64 won = 0, refused = 0;

	(void)state;
	srand(test_seed());
	fresh(FRAMES_1G);
	hold = HOLD_NONE;
	ram(0, ORDER_1G, 5);
	for (int round = 0; round < 20000; round++) {
		enum frame_type type = types[rand() % 2];
		mfn_t m = rand() % 2 ? 3 : 0;
		unsigned int order = m ? 0 : rand() % 11;
		int err;

		other_cpu();
		frame_race_hook = other_cpu;
		err = frame_set(m, order, type, OWNER_NONE);
		frame_race_hook = NULL;
		if (err) {
			assert_int_equal(err, -EBUSY);
			refused++;
		} else {
			won++;
			/* Nobody holds a reference to the frames, and nobody can take one. */
			assert_true(hold == HOLD_NONE);
			for (u64 i = 0; i < 1UL << order; i++) {
				assert_int_equal(frame_dev_refs(m + i), 0);
				assert_true(frame_get_dev(m + i, ORDER_4K, 5) < 0);
			}
			assert_true(frame_get_dev(0, ORDER_2M, 5) < 0);
			assert_true(frame_get_dev(0, ORDER_1G, 5) < 0);
			for (int i = 0; i < 4; i++)
				other_cpu_step();
			assert_true(hold == HOLD_NONE);
			ram(m, order, 5);
		}
		/* Whole again; sometimes only the block, as after piecemeal changes. */
		if (hold == HOLD_NONE)
			ram(0, rand() % 8 ? ORDER_2M : ORDER_1G, 5);
	}
	while (hold != HOLD_NONE)
		other_cpu_step();
	assert_true(won > 100 && refused > 100);
}

/* --- races ---------------------------------------------------------------- */

#define RACE_ROUNDS 20000
#define RACE_SECONDS 60

/* True until both sides have had a chance to run: on a busy machine one of them may be off the CPU
 * for long. */
static bool race_goes_on(time_t start, bool both)
{
	if (both)
		return false;
	sched_yield();
	return time(NULL) - start < RACE_SECONDS;
}

static int stop;
static u64 taken, typed, violations;

/* The one invariant, checked against what each side believes it holds: a frame is never special or
 * free while someone holds a reference to it. `held` counts the takers' references; `special` is
 * set while the setter has the frame. */
static int special;

static void check_while_held(void)
{
	if (__atomic_load_n(&special, __ATOMIC_SEQ_CST))
		__atomic_add_fetch(&violations, 1, __ATOMIC_SEQ_CST);
}

static void *block_taker(void *arg)
{
	unsigned int order = (unsigned int)(uintptr_t)arg;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (frame_get_dev(0, order, 5))
			continue;
		check_while_held();
		__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
		if (order != ORDER_4K) { /* split and merge, still holding it */
			frame_split_dev(0, order);
			check_while_held();
			frame_merge_dev(0, order);
			check_while_held();
		}
		frame_put_dev(0, order);
	}
	return NULL;
}

/* Long enough for a taker that got a reference by mistake to notice. */
static void own_for_a_while(void)
{
	__atomic_store_n(&special, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 100; i++)
		__asm__ volatile("pause");
	__atomic_store_n(&special, 0, __ATOMIC_SEQ_CST);
}

static void race(unsigned int order, enum frame_type type, u64 nr_frames)
{
	time_t start = time(NULL);
	pthread_t thread[2];

	fresh(nr_frames);
	ram(0, nr_frames >= FRAMES_1G ? ORDER_1G : ORDER_2M, 5);
	stop = 0;
	taken = typed = violations = 0;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, block_taker,
						(void *)(uintptr_t)(i ? ORDER_4K : order)),
				 0);
	for (int i = 0; i < RACE_ROUNDS ||
			race_goes_on(start, typed && __atomic_load_n(&taken, __ATOMIC_RELAXED));
	     i++) {
		if (frame_set(0, ORDER_4K, type, OWNER_WEIR))
			continue;
		typed++;
		own_for_a_while();
		while (frame_set(0, ORDER_4K, FRAME_RAM, 5))
			;
		(void)!frame_set(0, ORDER_2M, FRAME_RAM, 5);
		if (order == ORDER_1G)
			(void)!frame_set(0, ORDER_1G, FRAME_RAM, 5);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(violations, 0);
	assert_int_not_equal(taken, 0);
	assert_int_not_equal(typed, 0);
	assert_int_equal(frame_dev_refs(0), 0);
}

static void test_race_2m(void **state)
{
	(void)state;
	race(ORDER_2M, FRAME_IO_TABLE, FRAMES_2M);
	race(ORDER_2M, FRAME_FREE, FRAMES_2M);
}

/* Two holders move references between all three sizes while a third CPU tries to free a frame below
 * them. */
static void *mover(void *arg)
{
	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		if (frame_get_dev(0, ORDER_1G, 5))
			continue;
		check_while_held();
		__atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
		frame_split_dev(0, ORDER_1G);
		check_while_held();
		frame_merge_dev(0, ORDER_1G);
		check_while_held();
		frame_split_dev(0, ORDER_1G);
		frame_split_dev(0, ORDER_2M);
		check_while_held();
		frame_merge_dev(0, ORDER_2M);
		frame_merge_dev(0, ORDER_1G);
		check_while_held();
		frame_put_dev(0, ORDER_1G);
	}
	return NULL;
}

static void test_race_moving(void **state)
{
	time_t start = time(NULL);
	pthread_t thread[2];
	u64 lost = 0;

	(void)state;
	fresh(FRAMES_1G);
	ram(0, ORDER_1G, 5);
	stop = 0;
	taken = typed = violations = 0;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, mover, NULL), 0);
	for (int i = 0;
	     i < 200 || race_goes_on(start, lost && __atomic_load_n(&taken, __ATOMIC_RELAXED));
	     i++) {
		for (int k = 0; k < 1000; k++) {
			if (frame_set(0, ORDER_4K, FRAME_FREE, OWNER_NONE)) {
				lost++;
				continue;
			}
			typed++;
			own_for_a_while();
			ram(0, ORDER_4K, 5);
		}
		(void)!frame_set(0, ORDER_1G, FRAME_RAM, 5);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(violations, 0);
	assert_int_not_equal(lost, 0);
	for (mfn_t m = 0; m < FRAMES_1G; m++)
		assert_int_equal(frame_dev_refs(m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_starts_reserved),
		cmocka_unit_test(test_references_by_size),
		cmocka_unit_test(test_special_frames_conflict),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_split_and_merge),
		cmocka_unit_test(test_many_all_or_none),
		cmocka_unit_test(test_underflow_panics),
		cmocka_unit_test(test_count_is_limited),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_interleavings),
		cmocka_unit_test(test_race_2m),
		cmocka_unit_test(test_race_moving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
