/* Nested tables against a flat array with the same content: random maps, unmaps, releases and
 * splits.
 * sources: kernel/guest/memory/nested.c kernel/guest/memory/guestram.c
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <kernel/mm/alloc.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/guest/memory/guestram.h>
#include <kernel/guest/memory/nested.h>
#include <kernel/core/paging.h>
#include <kernel/lib/string.h>
#include <tests/unit/nested_format.h>

#include <cmocka.h>

#define GUEST_FRAMES 4096UL /* eight 2 MiB regions */
#define FIRST_MFN 0x100000UL
#define NUMBERS 8

/* "Physical" memory of the tables: host addresses are the physical ones. */
static long pages_live, pages_left;

void *phys_to_virt(paddr_t pa)
{
	return (void *)pa;
}

paddr_t virt_to_phys(const void *va)
{
	return (paddr_t)va;
}

void *alloc_page(void)
{
	void *p;

	if (!pages_left)
		return NULL;
	p = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	memset(p, 0, PAGE_SIZE);
	pages_live++;
	pages_left--;
	return p;
}

void free_page(void *p)
{
	pages_live--;
	free(p);
}

int frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner)
{
	(void)mfn, (void)order, (void)type, (void)owner;
	return 0;
}

enum cell_state { HOLE, RAM, DEVICE, TOMB };
static struct {
	enum cell_state state;
	mfn_t mfn;
	u32 number;
} ref[GUEST_FRAMES];

static struct nested n;

static int setup(void **state)
{
	(void)state;
	nested_format = &test_format;
	memset(ref, 0, sizeof(ref));
	pages_left = 100000;
	assert_int_equal(nested_init(&n, 1), 0);
	spin_lock(&n.lock);
	return 0;
}

static int teardown(void **state)
{
	struct nested_walk all = { &n, 0, NESTED_LAST, 0 };
	struct nested_leaf taken;

	(void)state;
	for (u32 number = 0; number < NUMBERS; number++) {
		struct nested_walk w = { &n, 0, GUEST_FRAMES - 1, ~0UL };

		while (nested_take_tombstone(&w, number, &taken))
			;
		assert_int_equal(nested_walk_state(&w), STEP_DONE);
	}
	while (nested_walk_state(&all) == STEP_MORE) {
		all.budget = 5;
		while (nested_take_leaf(&all, &taken))
			assert_true(taken.flags);
	}
	spin_unlock(&n.lock);
	nested_free(&n);
	assert_int_equal(pages_live, 0);
	return 0;
}

static bool is_mapped(gfn_t g)
{
	return ref[g].state == RAM || ref[g].state == DEVICE;
}

/* Keeps what it finds from one check to the next. */
static struct guest_ram found_last;

static void check_what_was_kept(void)
{
	guest_ram_refresh(&found_last, &n);
	for (u32 i = 0; i < GUEST_RAM_LEAVES; i++) {
		const struct guest_ram_leaf leaf = found_last.leaf[i];

		for (u64 at = 0; at < leaf.size; at += PAGE_SIZE) {
			unsigned int order;

			assert_ptr_equal(leaf.at + at,
					 nested_ram(&n, (leaf.start + at) >> PAGE_SHIFT, &order));
		}
	}
}

static void check(void)
{
	u64 frames = 0;

	check_what_was_kept();
	for (gfn_t g = 0; g < GUEST_FRAMES; g++) {
		struct nested_leaf l = nested_lookup(&n, g);
		unsigned int order;
		void *ram = nested_ram(&n, g, &order);

		if (ref[g].state == RAM) {
			assert_ptr_equal(ram, mfn_to_virt(ref[g].mfn));
			assert_int_equal(order, l.order);
		} else {
			assert_null(ram);
		}
		assert_ptr_equal(guest_ram_at(&found_last, g << PAGE_SHIFT), ram);
		assert_int_equal(l.tombstone, ref[g].state == TOMB);
		if (is_mapped(g)) {
			assert_int_equal(l.mfn, ref[g].mfn);
			assert_int_equal(!!(l.flags & NESTED_DEVICE), ref[g].state == DEVICE);
			frames++;
			continue;
		}
		assert_int_equal(l.flags, 0);
		/* The whole hole that it reports is unmapped. */
		for (gfn_t h = 0; l.order <= ORDER_2M && h < 1UL << l.order; h++) {
			gfn_t other = ALIGN_DOWN(g, 1UL << l.order) + h;

			assert_int_equal(ref[other].state, ref[g].state);
		}
	}
	assert_int_equal(n.entries[0] + (n.entries[1] << 9) + (n.entries[2] << 18), frames);
}

static void released(const struct nested_leaf *taken, u32 releasing)
{
	assert_true(taken->tombstone && !taken->flags);
	for (u64 i = 0; i < 1UL << taken->order; i++) {
		bool found = false;

		for (gfn_t g = 0; g < GUEST_FRAMES && !found; g++) {
			if (ref[g].state != TOMB || ref[g].mfn != taken->mfn + i ||
			    ref[g].number != releasing)
				continue;
			ref[g].state = HOLE;
			found = true;
		}
		assert_true(found);
	}
}

static void map_step(u32 flags)
{
	u64 nr = rand() % 3 ? 1UL << (rand() % 11) : 1UL + rand() % 700, done, i;
	gfn_t gfn = rand() % GUEST_FRAMES;
	bool tomb = false, other = false;
	mfn_t mfn;
	int ret;

	if (rand() % 2)
		gfn = ALIGN_DOWN(gfn, 512UL);
	nr = MIN(nr, GUEST_FRAMES - gfn);
	mfn = FIRST_MFN + gfn + (rand() % 4 ? 0 : rand() % 512);

	ret = nested_map(&n, gfn, mfn, nr, flags, &done);
	for (i = 0; i < done; i++) {
		assert_int_equal(ref[gfn + i].state, HOLE);
		ref[gfn + i].state = flags & NESTED_DEVICE ? DEVICE : RAM;
		ref[gfn + i].mfn = mfn + i;
	}
	if (!ret) {
		assert_int_equal(done, nr);
		return;
	}
	for (i = done; i < MIN(done + 512, nr); i++) {
		tomb |= ref[gfn + i].state == TOMB;
		other |= is_mapped(gfn + i);
	}
	assert_true(ret == -EAGAIN ? tomb : ret == -EEXIST && other);
}

static void unmap_step(void)
{
	gfn_t gfn = rand() % GUEST_FRAMES;
	u64 nr = MIN(1UL + rand() % 1500, GUEST_FRAMES - gfn), unmapped, passed, seen = 0;
	u64 generation = n.generation;
	u32 number = rand() % NUMBERS;
	struct nested_walk w;

	w = (struct nested_walk){ &n, gfn, gfn + nr - 1, 1 + rand() % 600 };
	unmapped = nested_unmap(&w, number);
	passed = w.gfn - gfn;
	assert_true(passed <= nr);
	for (u64 i = 0; i < passed; i++) {
		if (ref[gfn + i].state == RAM) {
			ref[gfn + i].state = TOMB;
			ref[gfn + i].number = number;
			seen++;
		}
	}
	assert_int_equal(seen, unmapped);
	assert_int_equal(n.generation != generation, unmapped != 0);
}

static void unmap_device_step(void)
{
	gfn_t gfn = rand() % GUEST_FRAMES;
	u64 nr = MIN(1UL + rand() % 100, GUEST_FRAMES - gfn);
	struct nested_walk w = { &n, gfn, gfn + nr - 1, ~0UL };
	u64 unmapped = nested_unmap_device(&w), seen = 0;

	assert_int_equal(nested_walk_state(&w), STEP_DONE);
	for (u64 i = 0; i < nr; i++) {
		if (ref[gfn + i].state != DEVICE)
			continue;
		ref[gfn + i].state = HOLE;
		seen++;
	}
	assert_int_equal(seen, unmapped);
}

static void release_step(void)
{
	struct nested_walk w = { &n, 0, GUEST_FRAMES - 1, 0 };
	u32 releasing = rand() % NUMBERS;
	struct nested_leaf taken;

	while (nested_walk_state(&w) == STEP_MORE) {
		w.budget = 1 + (u64)rand() % 50;
		while (nested_take_tombstone(&w, releasing, &taken))
			released(&taken, releasing);
	}
	for (gfn_t gfn = 0; gfn < GUEST_FRAMES; gfn++)
		assert_false(ref[gfn].state == TOMB && ref[gfn].number == releasing);
}

static void random_program(void **state)
{
	unsigned int seed = getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) : 20261;

	(void)state;
	print_message("seed %u\n", seed);
	srand(seed);
	for (int i = 0; i < 3000; i++) {
		switch (rand() % 8) {
		case 0:
		case 1:
		case 2:
			map_step(NESTED_RAM);
			break;
		case 3:
			map_step(NESTED_READ | NESTED_WRITE | NESTED_DEVICE);
			break;
		case 4:
		case 5:
			unmap_step();
			break;
		case 6:
			unmap_device_step();
			break;
		case 7:
			release_step();
			break;
		}
		if (i % 25 == 0)
			check();
	}
	check();
}

static void uses_superpages(void **state)
{
	u64 done;

	(void)state;
	assert_int_equal(nested_map(&n, 0, 1UL << ORDER_1G, 1UL << ORDER_1G, NESTED_RAM, &done), 0);
	assert_int_equal(n.entries[2], 1);
	assert_int_equal(n.tables, 2);
}

/* A split that gets no table changes nothing, and reports how far it came. */
static void split_without_memory(void **state)
{
	struct nested_walk w = { &n, 0, 699, 100 };
	u64 done;

	(void)state;
	assert_int_equal(nested_map(&n, 0, FIRST_MFN, 1024, NESTED_RAM, &done), 0);
	pages_left = 0;
	assert_int_equal(nested_unmap(&w, 1), 512);
	assert_int_equal(w.gfn, 512);
	assert_int_equal(nested_lookup(&n, 512).mfn, FIRST_MFN + 512);
	assert_int_equal(nested_lookup(&n, 512).order, ORDER_2M);
	assert_true(nested_lookup(&n, 0).tombstone);
}

static void out_of_range(void **state)
{
	struct nested_walk w = { &n, NESTED_LAST + 1, NESTED_LAST + 2, 10 };
	u64 done;

	(void)state;
	assert_int_equal(nested_map(&n, 1UL << 36, 0, 1, NESTED_RAM, &done), -EINVAL);
	assert_int_equal(nested_map(&n, (1UL << 36) - 1, 0, 2, NESTED_RAM, &done), -EINVAL);
	assert_int_equal(nested_unmap(&w, 1), 0);
	assert_int_equal(w.gfn, NESTED_LAST + 1);
	assert_int_equal(nested_lookup(&n, ~0UL).flags, 0);
}

/* 2 GiB are two leaves, but what is taken from them at once is bounded. */
static void large_leaves_are_taken_in_pieces(void **state)
{
	const u64 nr = 2UL << ORDER_1G;

	(void)state;
	for (int leaf = 0; leaf < 2; leaf++) {
		struct nested_walk all = { &n, 0, nr - 1, 512 }, w = all;
		struct nested_leaf taken;
		u64 frames = 0, done;

		assert_int_equal(nested_map(&n, 0, FIRST_MFN, nr, NESTED_RAM, &done), 0);
		assert_int_equal(n.entries[2], 2);
		if (!leaf)
			assert_int_equal(nested_unmap(&all, 1), nr);
		while (nested_walk_state(&w) == STEP_MORE) {
			u64 before = frames;

			w.budget = 512;
			while (leaf ? nested_take_leaf(&w, &taken) :
				      nested_take_tombstone(&w, 1, &taken)) {
				assert_int_equal(taken.order, NESTED_PIECE_ORDER);
				assert_int_equal(taken.mfn, FIRST_MFN + frames);
				frames += 1UL << taken.order;
			}
			assert_in_range(frames - before, 1, 4096);
			/* It is a tombstone until all of it has been taken. */
			assert_int_equal(nested_lookup(&n, nr - 1).tombstone, !leaf && frames < nr);
		}
		assert_int_equal(frames, nr);
		assert_int_equal(n.entries[2], 0);
		assert_int_equal(nested_lookup(&n, 0).flags, 0);
	}
}

/* Most of a domain's tables may be at the lowest level: one for each 2 MiB. */
static void tables_are_freed_in_steps(void **state)
{
	struct nested_walk w = { &n, 0, NESTED_LAST, ~0UL };
	struct nested_leaf taken;
	u64 done;
	u32 steps = 0;

	(void)state;
	for (gfn_t gfn = 0; gfn < 1000 * 512; gfn += 512)
		assert_int_equal(nested_map(&n, gfn, FIRST_MFN + gfn, 1, NESTED_RAM, &done), 0);
	assert_true(n.tables > 1000);
	while (nested_take_leaf(&w, &taken))
		;
	for (enum step step = STEP_MORE; step == STEP_MORE; steps++) {
		long before = pages_live;

		step = nested_free_step(&n);
		assert_in_range(before - pages_live, 1, NESTED_STEP_TABLES);
	}
	assert_in_range(steps, 1000 / NESTED_STEP_TABLES, 1000 / NESTED_STEP_TABLES + 2);
	assert_int_equal(n.tables, 1); /* the root */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_program, setup, teardown),
		cmocka_unit_test_setup_teardown(uses_superpages, setup, teardown),
		cmocka_unit_test_setup_teardown(split_without_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(out_of_range, setup, teardown),
		cmocka_unit_test_setup_teardown(large_leaves_are_taken_in_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(tables_are_freed_in_steps, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
