/* sources: kernel/mm/alloc.c kernel/mm/slab.c $(FRAME_SRCS) */
/* The allocator: directed cases, then random programs against a reference that knows the owner of
 * every frame. "Physical" memory starts at an address of the test's choice; the frame table is
 * real. */
#include "test.h"

#include <sys/mman.h>

#include <kernel/mm/alloc.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/mm/frameref.h>
#include <kernel/core/paging.h>

#define FRAMES_1G (1UL << ORDER_1G)
#define MAX_FRAMES (4 * FRAMES_1G)

static char *memory; /* reserved address space; only touched pages are backed by memory */
static void *table;

void *phys_to_virt(paddr_t pa)
{
	assert_true(pa < MAX_FRAMES << PAGE_SHIFT);
	return memory + pa;
}

paddr_t virt_to_phys(const void *va)
{
	return (const char *)va - memory;
}

/* The allocator keeps its lists between tests: take all memory out of it, then start anew. */
static void fresh(u64 nr_frames)
{
	for (int order = ALLOC_MAX_ORDER; order >= 0; order--)
		while (alloc_free_blocks(order))
			assert_int_not_equal(alloc_frames(order), INVALID_MFN);
	assert_int_equal(alloc_free_frames(), 0);
	free(table);
	table = calloc(1, frame_table_size(nr_frames));
	frame_table_init(table, nr_frames);
}

static void test_add_makes_the_largest_blocks(void **state)
{
	(void)state;
	fresh(3 * FRAMES_1G);
	alloc_add(FRAMES_1G - 3, FRAMES_1G + 5);
	assert_int_equal(alloc_free_frames(), FRAMES_1G + 5);
	assert_int_equal(alloc_free_blocks(18), 1);
	assert_int_equal(alloc_free_blocks(0), 1);
	assert_int_equal(alloc_free_blocks(1), 2);
	/* Releasing piece by piece has the same result. */
	fresh(3 * FRAMES_1G);
	for (mfn_t m = FRAMES_1G - 3; m < 2 * FRAMES_1G + 2; m++)
		alloc_add(m, 1);
	assert_int_equal(alloc_free_blocks(18), 1);
	assert_int_equal(alloc_free_blocks(0), 1);
	assert_int_equal(alloc_free_blocks(1), 2);
	assert_int_equal(alloc_free_blocks(19), 0);
}

static void test_small_ones_come_from_small_blocks(void **state)
{
	mfn_t m[4];

	(void)state;
	fresh(2 * FRAMES_1G);
	alloc_add(FRAMES_1G, FRAMES_1G);
	alloc_add(1024, 3 * 512);
	for (int i = 0; i < 4; i++) {
		m[i] = alloc_frames(0);
		assert_in_range(m[i], 1024, 1024 + 3 * 512 - 1);
	}
	assert_int_equal(alloc_free_blocks(18), 1);
	assert_int_equal(alloc_frames(18), FRAMES_1G);
	assert_int_equal(alloc_frames(18), INVALID_MFN);
	assert_int_equal(alloc_frames(10), 1024 + 0);
	for (int i = 0; i < 4; i++)
		free_frames(m[i], 0);
	assert_int_equal(alloc_free_blocks(9), 1);
	assert_int_equal(alloc_free_frames(), 512);
}

static void test_add_twice(void **state)
{
	(void)state;
	fresh(4096);
	alloc_add(1024, 1000);
	alloc_add(1000, 2000);
	alloc_add(4000, 200); /* 104 of them have no frame record */
	assert_int_equal(alloc_free_frames(), 2000 + 96);
	alloc_add(1000, 2000);
	assert_int_equal(alloc_free_frames(), 2000 + 96);
	for (int i = 0; i < 2096; i++)
		assert_int_not_equal(alloc_frames(0), INVALID_MFN);
	assert_int_equal(alloc_frames(0), INVALID_MFN);
}

static void test_types_and_owners(void **state)
{
	struct frame_info info;
	mfn_t m;

	(void)state;
	fresh(4096);
	alloc_add(1024, 1024);
	m = alloc_frames(3);
	assert_true(frame_query(m + 7, &info));
	assert_int_equal(info.type, FRAME_WEIR);
	assert_int_equal(info.owner, OWNER_WEIR);
	assert_true(frame_query(m + 8, &info));
	assert_int_equal(info.type, FRAME_FREE);
	free_frames(m, 3);
	assert_true(frame_query(m + 7, &info));
	assert_int_equal(info.type, FRAME_FREE);
	assert_int_equal(info.owner, OWNER_NONE);
	expect_panic(free_frames(m, 3)); /* twice */
	expect_panic(free_frames(5000, 0));
	expect_panic(free_frames(0, 0)); /* never allocated */
}

static void test_the_one_rule(void **state)
{
	mfn_t m;

	(void)state;
	fresh(4096);
	alloc_add(1024, 2048);
	m = alloc_frames(9);
	assert_int_equal(frame_set(m, 9, FRAME_RAM, 1), 0);
	assert_int_equal(frame_get_dev(m + 100, ORDER_4K, 1), 0);
	expect_panic(free_frames(m, 9));
	frame_put_dev(m + 100, ORDER_4K);
	assert_int_equal(frame_get_dev(m, ORDER_2M, 1), 0);
	expect_panic(free_frames(m + 3, 0));
	frame_put_dev(m, ORDER_2M);
	free_frames(m, 9);
	assert_int_equal(alloc_free_frames(), 2048);
}

static void test_below(void **state)
{
	mfn_t m;

	(void)state;
	fresh(2 * FRAMES_1G);
	alloc_add(0, 0x9f);
	alloc_add(0x100, FRAMES_1G);
	assert_int_equal(alloc_free_frames(), 0x9e + FRAMES_1G);
	/* Ordinary requests leave the first MiB alone while other memory is free. */
	m = alloc_frames(0);
	assert_true(m >= 0x100);
	free_frames(m, 0);
	m = alloc_frames_below(0, 0x100);
	assert_in_range(m, 1, 0x9e);
	free_frames(m, 0);
	m = alloc_frames_below(9, 0x1000);
	assert_true(m + 512 <= 0x1000);
	free_frames(m, 9);
	assert_int_equal(alloc_frames_below(0, 1), INVALID_MFN);
	assert_int_equal(alloc_frames_below(0, 0), INVALID_MFN);
	assert_int_equal(alloc_frames_below(8, 0x100), INVALID_MFN);
	while ((m = alloc_frames(0)) != INVALID_MFN)
		if (m < 0x100)
			break;
	assert_int_equal(alloc_free_frames(), 0x9d);
}

static void test_fragmented_memory_grows_together(void **state)
{
	static mfn_t m[FRAMES_1G];
	u64 n = 0;

	(void)state;
	fresh(2 * FRAMES_1G);
	alloc_add(FRAMES_1G, FRAMES_1G);
	while ((m[n] = alloc_frames(0)) != INVALID_MFN)
		if (++n == FRAMES_1G)
			break;
	assert_int_equal(n, FRAMES_1G);
	assert_int_equal(alloc_frames(0), INVALID_MFN);
	/* Every second frame is allocated: only single frames are available. */
	for (u64 i = 0; i < n; i++)
		if (m[i] & 1)
			free_frames(m[i], 0);
	assert_int_equal(alloc_free_frames(), FRAMES_1G / 2);
	assert_int_equal(alloc_frames(1), INVALID_MFN);
	for (u64 i = 0; i < n; i++)
		if (!(m[i] & 1))
			free_frames(m[i], 0);
	assert_int_equal(alloc_free_blocks(18), 1);
	assert_int_equal(alloc_frames(18), FRAMES_1G);
}

static bool fail_all(unsigned int order)
{
	(void)order;
	return true;
}

static void test_objects(void **state)
{
	static const size_t sizes[] = { 1, 16, 32, 33, 100, 512, 2048, 2049, 4096, 5000, 1 << 20 };
	char *p[ARRAY_SIZE(sizes)][40];
	u64 before;

	(void)state;
	fresh(16384);
	alloc_add(512, 16384 - 512);
	before = alloc_free_frames();
	assert_null(kzalloc(0));
	assert_null(kzalloc((1 << 20) + 1));
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (int i = 0; i < 40; i++) {
			p[s][i] = kzalloc(sizes[s]);
			assert_non_null(p[s][i]);
			for (size_t k = 0; k < sizes[s]; k++)
				assert_int_equal(p[s][i][k], 0);
			memset(p[s][i], 0x5a, sizes[s]);
			if (i % 3 == 0) {
				kfree(p[s][i]);
				p[s][i] = kzalloc(sizes[s]);
				for (size_t k = 0; k < sizes[s]; k++)
					assert_int_equal(p[s][i][k], 0);
			}
			memset(p[s][i], (int)(s * 40 + i), sizes[s]);
		}
	}
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
		for (int i = 0; i < 40; i++)
			for (size_t k = 0; k < sizes[s]; k++)
				assert_int_equal((unsigned char)p[s][i][k], (u8)(s * 40 + i));
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++)
		for (int i = 39; i >= 0; i--)
			kfree(p[s][(i * 7) % 40]);
	kfree(NULL);
	free_page(NULL);
	assert_int_equal(alloc_free_frames(), before);
	alloc_fail_hook = fail_all;
	assert_null(kzalloc(16));
	assert_null(kzalloc(8192));
	assert_null(alloc_page());
	assert_int_equal(alloc_frames(0), INVALID_MFN);
	assert_int_equal(alloc_frames_below(0, 4096), INVALID_MFN);
	alloc_fail_hook = NULL;
	p[0][0] = alloc_page();
	expect_panic(kfree(p[0][0]));
	free_page(p[0][0]);
	assert_int_equal(alloc_free_frames(), before);
}

/* --- random against a reference ------------------------------------------- */

#define RND_FRAMES 8192
#define RND_BLOCKS 300

static u16 holder[RND_FRAMES]; /* 0: free, 0xffff: not RAM, else block + 1 */

/* The largest order that the reference could serve: an aligned run of free frames. */
static int ref_largest(void)
{
	for (int order = 13; order >= 0; order--)
		for (u64 m = 0; m < RND_FRAMES; m += 1UL << order) {
			u64 i = 0;

			while (i < 1UL << order && !holder[m + i])
				i++;
			if (i == 1UL << order)
				return order;
		}
	return -1;
}

static void test_random(void **state)
{
	struct {
		mfn_t mfn;
		int order;
	} block[RND_BLOCKS] = { 0 };
	unsigned int seed = test_seed();
	u64 free_frames_ref = 0;

	(void)state;
	srand(seed);
	fresh(RND_FRAMES);
	memset(holder, 0xff, sizeof(holder));
	for (mfn_t m = 0x100; m < RND_FRAMES;) {
		u64 nr = MIN((u64)(1 + rand() % 3000), RND_FRAMES - m);

		alloc_add(m, nr);
		memset(&holder[m], 0, nr * sizeof(holder[0]));
		free_frames_ref += nr;
		m += nr + (rand() % 2 ? rand() % 100 : 0);
	}
	for (int step = 0; step < 20000; step++) {
		int b = rand() % RND_BLOCKS;

		if (block[b].mfn) {
			for (u64 i = 0; i < 1UL << block[b].order; i++) {
				assert_int_equal(holder[block[b].mfn + i], b + 1);
				holder[block[b].mfn + i] = 0;
			}
			free_frames(block[b].mfn, block[b].order);
			free_frames_ref += 1UL << block[b].order;
			block[b].mfn = 0;
		} else {
			int order = rand() % (rand() % 4 ? 4 : 11);
			mfn_t limit = rand() % 4 ? RND_FRAMES : (mfn_t)(rand() % RND_FRAMES);
			mfn_t m = limit == RND_FRAMES ? alloc_frames(order) :
							alloc_frames_below(order, limit);

			if (m == INVALID_MFN) {
				if (limit == RND_FRAMES)
					assert_true(ref_largest() < order);
				continue;
			}
			assert_true(m + (1UL << order) <= limit);
			assert_int_equal(m & ((1UL << order) - 1), 0);
			for (u64 i = 0; i < 1UL << order; i++) {
				assert_int_equal(holder[m + i], 0);
				holder[m + i] = b + 1;
			}
			free_frames_ref -= 1UL << order;
			block[b].mfn = m;
			block[b].order = order;
		}
		assert_int_equal(alloc_free_frames(), free_frames_ref);
		if (step % 100 == 0) {
			int largest = ref_largest();

			for (int order = 18; order > largest; order--)
				assert_int_equal(alloc_free_blocks(order), 0);
			if (largest >= 0)
				assert_int_not_equal(alloc_free_blocks(largest), 0);
		}
	}
}

/* The frames belong to nobody until they are typed: not to a block that is freed beside them. */
static void test_untyped(void **state)
{
	struct frame_info f;
	mfn_t a, b;

	(void)state;
	fresh(2 * FRAMES_1G);
	alloc_add(FRAMES_1G, FRAMES_1G);
	a = alloc_untyped(17);
	b = alloc_frames(17);
	assert_int_not_equal(a, INVALID_MFN);
	assert_int_equal(alloc_free_frames(), 0);
	assert_int_equal(alloc_untyped(0), INVALID_MFN);
	assert_true(frame_query(a, &f));
	assert_int_equal(f.type, FRAME_FREE);
	free_frames(b, 17);
	assert_int_equal(alloc_free_blocks(17), 1);
	for (mfn_t m = a; m < a + FRAMES_1G / 2; m += 512)
		assert_int_equal(frame_set(m, ORDER_2M, FRAME_RAM, 1), 0);
	for (mfn_t m = a; m < a + FRAMES_1G / 2; m += 512)
		free_frames(m, ORDER_2M);
	assert_int_equal(alloc_free_blocks(18), 1);
}

static void free_blocks(mfn_t mfn, u64 nr, unsigned int order)
{
	for (u64 i = 0; i < nr; i++)
		free_frames(mfn + (i << order), order);
}

/* A step that frees too much between two windows is a bug; what is freed outside a step is not. */
static void test_steps_are_bounded(void **state)
{
	const u64 most = STEP_FREES_FRAMES >> ORDER_2M;
	mfn_t m;

	(void)state;
	fresh(2 * FRAMES_1G);
	alloc_add(FRAMES_1G, FRAMES_1G);
	m = alloc_frames(ORDER_1G);
	assert_int_not_equal(m, INVALID_MFN);
	free_blocks(m, 2 * most, ORDER_2M);
	alloc_step_window();
	m += 2 * most << ORDER_2M;

	alloc_step_begins();
	for (u32 window = 0; window < 3; window++, m += most << ORDER_2M) {
		free_blocks(m, most, ORDER_2M);
		alloc_step_window();
	}
	alloc_step_ends();

	alloc_step_begins();
	free_blocks(m, most + 1, ORDER_2M);
	m += (most + 1) << ORDER_2M;
	expect_panic(alloc_step_ends());

	alloc_step_begins();
	free_blocks(m, STEP_FREES_BLOCKS + 1, ORDER_4K);
	expect_panic(alloc_step_window());
	alloc_step_begins();
	alloc_step_ends();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_steps_are_bounded),
		cmocka_unit_test(test_untyped),
		cmocka_unit_test(test_add_makes_the_largest_blocks),
		cmocka_unit_test(test_small_ones_come_from_small_blocks),
		cmocka_unit_test(test_add_twice),
		cmocka_unit_test(test_types_and_owners),
		cmocka_unit_test(test_the_one_rule),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_fragmented_memory_grows_together),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_random),
	};

	memory = mmap(NULL, MAX_FRAMES << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
