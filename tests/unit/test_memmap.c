/* sources: kernel/mm/memmap.c kernel/lib/rangeset.c kernel/mm/frame.c */
/* The memory map against a reference that checks each page: does an entry declare all of it RAM,
 * and no entry anything else? */
#include "test.h"

#include <kernel/mm/frame.h>
#include <kernel/mm/memmap.h>

static bool contains(const struct rangeset *s, u64 value)
{
	return rangeset_overlaps(s, value, value);
}

#define PAGES 300

static struct range storage[64];
static struct rangeset ram;

static void fresh(u32 max)
{
	rangeset_init(&ram, "test RAM", storage, max);
}

/* Checking every byte would be slow; entries here begin and end at multiples of a quarter page. */
#define QUARTER (PAGE_SIZE / 4)

static void test_random(void **state)
{
	(void)state;
	srand(test_seed());
	for (int round = 0; round < 2000; round++) {
		struct memmap_entry e[12];
		u32 nr = rand() % ARRAY_SIZE(e);
		static bool is_ram[PAGES * 4], is_other[PAGES * 4];
		u64 end = 0;

		memset(is_ram, 0, sizeof(is_ram));
		memset(is_other, 0, sizeof(is_other));
		for (u32 i = 0; i < nr; i++) {
			u64 q = rand() % (PAGES * 4), n = rand() % (rand() % 2 ? 40 : 600);

			n = MIN(n, PAGES * 4 - q);
			e[i] = (struct memmap_entry){ q * QUARTER, n * QUARTER,
						      rand() % 2 ? 1 : rand() % 7 };
			memset(e[i].type == 1 ? &is_ram[q] : &is_other[q], true, n);
		}
		fresh(64);
		end = memmap_build(&ram, e, nr);
		for (u64 p = 0; p < PAGES; p++) {
			bool all = true, other = false;

			for (int k = 0; k < 4; k++) {
				/* Two RAM entries may share a page: neither covers all of it, so it
				 * is not used. */
				all &= is_ram[p * 4 + k];
				other |= is_other[p * 4 + k];
			}
			if (contains(&ram, p)) {
				assert_true(all && !other);
				assert_true(p < end);
			} else if (all && !other) {
				/* It was left out only because no single entry covers it. */
				for (u32 i = 0; i < nr; i++)
					assert_false(e[i].type == 1 && e[i].base <= p * PAGE_SIZE &&
						     e[i].base + e[i].len >= (p + 1) * PAGE_SIZE);
			}
		}
		if (end)
			assert_true(contains(&ram, end - 1));
	}
}

static void test_absurd_entries(void **state)
{
	const struct memmap_entry e[] = {
		{ 0x100000, 0x1000000, 1 },
		{ 0x200000, 0, 1 },
		{ 0x300000, 0, 2 }, /* empty: reserves nothing */
		{ ~0UL - 5, 100, 2 },
		{ ~0UL, ~0UL, 2 },
		{ 0xfff0000000000000, ~0UL, 1 },
		{ 0x400800, 1, 2 }, /* one byte reserves its page */
	};

	(void)state;
	fresh(64);
	assert_int_equal(memmap_build(&ram, e, ARRAY_SIZE(e)), 0x1100);
	assert_int_equal(ram.nr, 2);
	assert_int_equal(rangeset_count(&ram), 0xfff);
	assert_false(contains(&ram, 0x400));
	/* The whole address space is RAM: truncated where the frame records end. */
	assert_int_equal(memmap_build(&ram, &(struct memmap_entry){ 0, ~0UL, 1 }, 1),
			 MEMMAP_MAX_FRAMES);
	assert_int_equal(memmap_build(&ram, NULL, 0), 0);
	memmap_reserve(&ram, 0, 0);
	assert_int_equal(ram.nr, 0);
}

static void test_reserve(void **state)
{
	const struct memmap_entry e = { 0, 64 << 20, 1 };

	(void)state;
	fresh(64);
	assert_int_equal(memmap_build(&ram, &e, 1), 0x4000);
	memmap_reserve(&ram, 0x100001, 1);
	assert_false(contains(&ram, 0x100));
	assert_true(contains(&ram, 0xff) && contains(&ram, 0x101));
	memmap_reserve(&ram, 0x3fff000, ~0UL);
	assert_false(contains(&ram, 0x3fff));
	assert_true(contains(&ram, 0x3ffe));
	memmap_reserve(&ram, ~0UL, 1);
}

static void test_full_storage_never_keeps_reserved_memory(void **state)
{
	struct memmap_entry e[64];

	(void)state;
	srand(test_seed());
	for (int round = 0; round < 300; round++) {
		e[0] = (struct memmap_entry){ 0, PAGES * PAGE_SIZE, 1 };
		for (u32 i = 1; i < 64; i++)
			e[i] = (struct memmap_entry){ rand() % PAGES * PAGE_SIZE, PAGE_SIZE, 2 };
		fresh(4);
		memmap_build(&ram, e, 64);
		for (u32 i = 1; i < 64; i++)
			assert_false(contains(&ram, e[i].base >> PAGE_SHIFT));
	}
}

static void test_place(void **state)
{
	const struct memmap_entry e[] = {
		{ 0, 0x9f000, 1 },
		{ 0x100000, 0x1ff00000, 1 }, /* to 512 MiB */
		{ 0x40000000, 0x400000, 1 }, /* a small piece at 1 GiB */
		{ 0x100000000, 1UL << 32, 1 },
	};
	u64 largest;

	(void)state;
	fresh(64);
	assert_int_equal(memmap_build(&ram, e, ARRAY_SIZE(e)), 0x200000);
	/* The smallest piece that is large enough, but not in the first MiB; then it is removed
	 * from the map. */
	assert_int_equal(memmap_place(&ram, 0x10001, ~0UL, &largest), 0x403ef000);
	assert_false(contains(&ram, 0x403ef));
	assert_int_equal(memmap_place(&ram, 0x3f0000, ~0UL, &largest), 0x1fc10000);
	assert_int_equal(memmap_place(&ram, 0x1000, 0x200000, &largest), 0x1ff000);
	assert_int_equal(memmap_place(&ram, 0x1000, 0x100000, &largest), MEMMAP_NO_PLACE);
	assert_int_equal(largest, 0);
	assert_int_equal(memmap_place(&ram, 1UL << 30, 1UL << 32, &largest), MEMMAP_NO_PLACE);
	assert_int_equal(largest, 0x1fc10000 - 0x200000);
	assert_int_equal(memmap_place(&ram, 1UL << 30, ~0UL, &largest), 0x1c0000000);
	assert_int_equal(memmap_place(&ram, 0, ~0UL, &largest), MEMMAP_NO_PLACE);
	assert_int_equal(memmap_place(&ram, ~0UL, ~0UL, &largest), MEMMAP_NO_PLACE);
}

static void test_frame_table_gives_up_absurd_ram(void **state)
{
	const struct memmap_entry e[] = {
		{ 0x100000, 64 << 20, 1 },
		{ 1UL << 43, 0x100000, 1 }, /* would need 32 GiB of table */
	};
	u64 frames;
	paddr_t pa;

	(void)state;
	fresh(64);
	frames = memmap_build(&ram, e, ARRAY_SIZE(e));
	assert_int_equal(frames, (1UL << 31) + 0x100);
	pa = memmap_place_frame_table(&ram, 1UL << 32, &frames);
	assert_int_equal(frames, 0x4100);
	assert_true(pa != MEMMAP_NO_PLACE && pa + frame_table_size(frames) <= 65 << 20);
	assert_false(contains(&ram, pa >> PAGE_SHIFT));
	/* No RAM at all. */
	frames = memmap_build(&ram, &e[1], 1);
	assert_int_equal(memmap_place_frame_table(&ram, 1UL << 32, &frames), MEMMAP_NO_PLACE);
	assert_int_equal(frames, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_absurd_entries),
		cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_full_storage_never_keeps_reserved_memory),
		cmocka_unit_test(test_place),
		cmocka_unit_test(test_frame_table_gives_up_absurd_ram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
