/* A domain's memory in both tables: whatever the domain releases and populates, before, while and
 * after its memory is mapped for devices, CPUs and devices reach the same pages in the end.
 *
 * sources: $(IOMMU_SRCS) $(MEMORY_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <iommu/iommu.h>
#include <kernel/core/irq.h>
#include <kernel/mm/alloc.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/guest/memory/clear.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/devicemap.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/core/paging.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/lib/string.h>
#include <tests/unit/memory_alone.h>
#include <tests/unit/memory_build.h>
#include <tests/unit/nested_format.h>
#include <tests/unit/vtd_check.h>

#include <cmocka.h>

#define FRAMES 4096UL

static struct memory d;
static u64 before;

static struct nested_leaf lookup(gfn_t gfn)
{
	struct nested_leaf at;

	spin_lock(&d.nested.lock);
	at = nested_lookup(&d.nested, gfn);
	spin_unlock(&d.nested.lock);
	return at;
}

static void wake(void *arg)
{
	(void)arg;
}

static void mark(void *arg)
{
	*(bool *)arg = true;
}

static void start_on(const struct vtd_config *config)
{
	assert_true(vtd_start(config));
	nested_format = &test_format;
	memset(&d, 0, sizeof(d));
	before = alloc_free_frames();
	assert_int_equal(memory_init(&d, 1, "d", wake, NULL), 0);
	assert_int_equal(memory_build(&d, FRAMES << PAGE_SHIFT), 0);
	vtd_settle();
}

static const struct vtd_config plain, small = { .cap_clear = CAP_SLLPS_2M | CAP_SLLPS_1G };

static void start(void)
{
	start_on(&plain);
}

/* CPUs and devices see the same pages: compares the tables, and some pages by DMA. */
static void check(void)
{
	u64 frames = 0, entry[5];

	for (gfn_t gfn = 0; gfn < FRAMES + 512; gfn++) {
		struct nested_leaf at = lookup(gfn);
		unsigned int n;
		mfn_t mfn, seen;
		u32 perm;

		n = iommu_walk_owner(d.owner, gfn, entry, &mfn);
		assert_true(n > 0);
		assert_int_equal(iommu_entry_kind(entry[n - 1], &perm) == IOMMU_ENTRY_PRESENT,
				 at.flags != 0);
		if (gfn % 64 == 0)
			assert_int_equal(vtd_dma(VTD_DEVICE_0, gfn, &seen), at.flags != 0);
		if (!at.flags)
			continue;
		assert_int_equal(mfn, at.mfn);
		assert_int_equal(perm, IOMMU_READ | IOMMU_WRITE);
		assert_true(frame_dev_refs(mfn) >= 1);
		if (gfn % 64 == 0)
			assert_int_equal(seen, mfn);
		frames++;
	}
	assert_int_equal(frames, d.pages_owned);
	vtd_check();
}

static void finish(void)
{
	bool detached = false, gone = false;
	gfn_t gfn = 0;

	iommu_detach(VTD_DEVICE_0, mark, &detached);
	vtd_settle();
	assert_true(detached);
	iommu_domain_destroy(d.iommu, mark, &gone);
	vtd_settle();
	assert_true(gone);
	while (memory_empty_step(&d, &gfn))
		;
	assert_int_equal(d.pages_owned, 0);
	nested_free(&d.nested);
	/* The context table stays, and so does what the slabs keep. */
	assert_in_range(before - alloc_free_frames(), 0, 40);
	vtd_stop();
}

/* The guest releases or populates a random piece. */
static void act(void)
{
	static const u64 sizes[] = { 1, 1, 1, 7, 100, 512, 512, 512, 1500 };
	gfn_t gfn = (gfn_t)(rand() % (int)FRAMES);
	u64 nr = MIN(sizes[rand() % (int)ARRAY_SIZE(sizes)], FRAMES - gfn);
	s64 ret;

	if (nr == 512) /* may become one leaf of 2 MiB */
		gfn = ALIGN_DOWN(gfn, 512);
	ret = rand() % 2 ? memory_release(&d, gfn, nr) : memory_populate(&d, gfn, nr);
	assert_true(ret > 0 || ret == -EAGAIN);
	if (rand() % 4 == 0)
		vtd_settle();
}

static int map_step(gfn_t *gfn)
{
	int ret = memory_map_for_devices(&d, gfn);

	if (ret == STEP_WAIT)
		vtd_settle();
	else
		assert_true(ret == STEP_DONE || ret == STEP_MORE);
	return ret;
}

static void mapped_later(void **state)
{
	const char *given = getenv("SEED");
	unsigned int seed = given ? (unsigned int)strtoul(given, NULL, 0) :
				    (unsigned int)time(NULL);

	(void)state;
	print_message("SEED=%u\n", seed);
	srand(seed);
	for (unsigned int round = 0; round < 60; round++) {
		gfn_t gfn = 0, second = 0;
		u32 steps = 0;

		start_on(round % 3 ? &plain : &small);
		for (int i = rand() % 400; i > 0; i--)
			act();
		/* Two devices may be in the process of being attached at once. */
		while (map_step(&gfn)) {
			steps++;
			for (int i = rand() % 8; i > 0; i--)
				act();
			if (rand() % 3 == 0)
				(void)map_step(&second);
		}
		assert_true(d.has_devices);
		assert_true(steps < 1000);
		assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
		vtd_settle();
		check();
		for (int i = 0; i < 100; i++)
			act();
		vtd_settle();
		check();
		finish();
	}
}

/* 2 MiB are one entry; a step covers at most MEMORY_STEP_ENTRIES. */
static void largest_leaves_in_bounded_steps(void **state)
{
	struct weir_stats s = { 0 };
	gfn_t gfn = 0;
	u32 steps = 1;

	(void)state;
	start();
	assert_int_equal(map_step(&gfn), STEP_DONE);
	iommu_domain_stats(d.iommu, &s);
	assert_int_equal(s.io_entries[1], FRAMES / 512);
	assert_int_equal(s.io_entries[0], 0);
	/* All is mapped: the next device needs no further mapping. */
	gfn = 0;
	assert_int_equal(map_step(&gfn), STEP_DONE);
	assert_int_equal(gfn, 0);
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	check();
	finish();

	start();
	for (gfn_t page = 0; page < FRAMES; page += 2) {
		while (memory_release(&d, page, 1) != 1)
			vtd_settle();
	}
	vtd_settle();
	gfn = 0;
	while (map_step(&gfn) == STEP_MORE)
		steps++;
	assert_in_range(steps, FRAMES / MEMORY_STEP_ENTRIES, FRAMES / MEMORY_STEP_ENTRIES + 2);
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	check();
	finish();
}

static mfn_t frame_at(gfn_t gfn)
{
	struct nested_leaf leaf;

	spin_lock(&d.nested.lock);
	leaf = nested_lookup(&d.nested, gfn);
	spin_unlock(&d.nested.lock);
	return leaf.mfn;
}

/* The registers of a device with 16 GiB of them, on a CPU without pages of 1 GiB: what maps and
 * unmaps them visits a bounded number of entries at a time. */
static void registers_in_bounded_steps(void **state)
{
	const gfn_t first = 1UL << 24, end = first + (16UL << (30 - PAGE_SHIFT));
	struct nested_format no_1g = test_format;
	u64 visited, had = 0;
	gfn_t gfn;
	u32 steps;
	int ret;

	(void)state;
	start();
	no_1g.has_1g = false;
	nested_format = &no_1g;
	had = d.nested.entries[1];
	for (u32 hole = 0; hole < 2; hole++) {
		gfn = first;
		steps = 0;
		do {
			u64 before = d.nested.entries[0] + d.nested.entries[1];

			visited = MEMORY_STEP_ENTRIES;
			ret = memory_map_device(&d, &gfn, end, (1UL << 26) + (gfn - first),
						&visited);
			assert_true(d.nested.entries[0] + d.nested.entries[1] - before <=
				    MEMORY_STEP_ENTRIES);
			steps++;
		} while (ret == STEP_MORE);
		assert_int_equal(ret, STEP_DONE);
		assert_int_equal(gfn, end);
		assert_int_equal(d.nested.entries[1], had + 8192 - hole);
		assert_in_range(steps, 32, 36);
		assert_int_equal(frame_at(end - 1), (1UL << 26) + (end - 1 - first));

		gfn = first;
		steps = 0;
		do {
			visited = MEMORY_STEP_ENTRIES;
			ret = memory_unmap_device(&d, &gfn, end, &visited);
			steps++;
		} while (ret == STEP_MORE);
		assert_in_range(steps, 32, 36);
		assert_int_equal(d.nested.entries[1], had);
		assert_int_equal(d.nested.entries[0], 0);
		/* From now on there is a table of small pages in the middle. */
		gfn = first + (4UL << 18);
		visited = MEMORY_STEP_ENTRIES;
		assert_int_equal(memory_map_device(&d, &gfn, gfn + 1, 1UL << 26, &visited), 0);
		gfn = first + (4UL << 18);
		assert_int_equal(memory_unmap_device(&d, &gfn, gfn + 1, &visited), STEP_DONE);
	}
	gfn = 0;
	assert_int_equal(map_step(&gfn), STEP_DONE);
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	finish();
	nested_format = &test_format;
}

/* If the units support no 2 MiB leaves, each 2 MiB leaf of the CPUs' tables becomes an I/O table,
 * and takes one step. */
static void steps_count_the_entries_of_units(void **state)
{
	struct weir_stats s = { 0 };
	gfn_t gfn = 0;

	(void)state;
	start_on(&small);
	for (u64 passed = 512; passed < FRAMES; passed += 512) {
		assert_int_equal(map_step(&gfn), STEP_MORE);
		assert_int_equal(gfn, passed);
		iommu_domain_stats(d.iommu, &s);
		assert_int_equal(s.io_entries[0], passed);
	}
	assert_int_equal(map_step(&gfn), STEP_DONE);
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	check();
	finish();
}

/* The control domain's devices have a different map: the identity map. */
static void not_for_the_control_domain(void **state)
{
	struct weir_stats s = { 0 };
	gfn_t gfn = 0;

	(void)state;
	start();
	d.machine_addresses = true;
	assert_int_equal(memory_map_for_devices(&d, &gfn), 0);
	iommu_domain_stats(d.iommu, &s);
	assert_int_equal(s.io_entries[0] + s.io_entries[1] + s.io_entries[2], 0);
	assert_int_equal(memory_release(&d, 5, 1), -EPERM);
	assert_int_equal(memory_device_frame(&d, 5), lookup(5).mfn);
	d.machine_addresses = false;
	assert_int_equal(memory_device_frame(&d, 5), 5);
	assert_int_equal(memory_device_frame(&d, FRAMES), -ENOENT);
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	finish();
}

/* For a domain that restarts: it has all its memory, and the memory is zeroed. */
static void renewed(void **state)
{
	(void)state;
	for (int later = 0; later < 2; later++) {
		gfn_t gfn = 0, map = 0;
		u32 steps = 0, waits = 0;
		int ret;

		start();
		while (!later && map_step(&map))
			;
		for (gfn_t g = 0; g < FRAMES; g++)
			memset(mfn_to_virt(lookup(g).mfn), 0xcc, PAGE_SIZE);
		assert_int_equal(memory_release(&d, 7, 1), 1);
		assert_int_equal(memory_release(&d, 512, 512), 512);
		assert_int_equal(memory_release(&d, 1100, 250), 250);
		/* The last release is still in flight when populating begins. */
		while ((ret = memory_renew_step(&d, &gfn))) {
			if (ret == STEP_WAIT) {
				vtd_settle();
				assert_true(++waits < 3);
				continue;
			}
			assert_int_equal(ret, STEP_MORE);
			assert_true(++steps < 64);
		}
		assert_true(waits > 0);
		assert_int_equal(gfn < FRAMES, 0);
		assert_int_equal(d.pages_owned, FRAMES);
		clear_all(&d);
		for (gfn_t g = 0; g < FRAMES; g++) {
			const u64 *p = mfn_to_virt(lookup(g).mfn);

			for (u32 i = 0; i < PAGE_SIZE / 8; i++)
				assert_int_equal(p[i], 0);
		}
		while (later && map_step(&map))
			;
		assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
		check();
		finish();
	}
}

/* Device writes to 0xfee00000 to 0xfeefffff are interrupts: no domain, however large, has memory
 * there, for CPUs or for devices. */
static void none_where_interrupts_go(void **state)
{
	static const u64 sizes[] = { 1UL << 10, 3UL << 18, 0xfee00, 0xfef00, 1UL << 20, 1UL << 24 };
	gfn_t gfn = 0;

	(void)state;
	start();
	assert_int_equal(map_step(&gfn), STEP_DONE);
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		d.pages_limit = sizes[i];
		for (gfn = 0xfee00; gfn < 0xfef00; gfn++) {
			assert_int_equal(memory_populate(&d, gfn, 1), -EINVAL);
			assert_int_equal(memory_populate(&d, gfn - 0x100, 512), -EINVAL);
			assert_int_equal(memory_release(&d, gfn, 1), -EINVAL);
		}
		assert_int_equal(memory_populate(&d, (3UL << 18) - 1, 1UL << 18), -EINVAL);
	}
	d.pages_limit = FRAMES;
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	check();
	finish();
}

static bool no_memory(unsigned int order)
{
	(void)order;
	return true;
}

/* There is no memory at all: what is given back in whole leaves needs none, and does not fail. Only
 * a part of a superpage does, and then nothing has changed. */
static void given_back_without_memory(void **state)
{
	(void)state;
	for (int devices = 0; devices < 2; devices++) {
		gfn_t map = 0;

		start();
		/* Four leaves of 2 MiB, and 512 pages. */
		assert_int_equal(memory_release(&d, 2048 + 7, 1), 1);
		vtd_settle();
		while (devices && map_step(&map))
			;
		alloc_fail_hook = no_memory;
		for (u32 n = 0; n < 20; n++)
			assert_int_equal(memory_release(&d, 512 + 3, 1), -ENOMEM);
		assert_int_equal(lookup(512 + 3).order, ORDER_2M);
		assert_int_equal(memory_release(&d, 512 + 3, 512), -ENOMEM);
		assert_int_equal(memory_release(&d, 512, 512), 512);
		/* It ends where it would have to split. */
		assert_int_equal(memory_release(&d, 1024, 600), 512);
		for (gfn_t page = 2048; page < 2048 + 20; page++) {
			while (memory_release(&d, page, 1) == -EAGAIN)
				vtd_settle();
		}
		vtd_settle();
		assert_int_equal(d.pages_owned, FRAMES - 1024 - 20);
		alloc_fail_hook = NULL;
		assert_int_equal(memory_release(&d, 1536 + 3, 1), 1);
		vtd_settle();
		while (!devices && map_step(&map))
			;
		assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
		check();
		finish();
	}
}

/* --- how much is cleared while no interrupt can be taken ------------------ */

static u64 clear_before, clear_at_most;
static bool counting;

static u64 clear_frames_now(void)
{
	u64 n = 0;

	for (mfn_t mfn = MACHINE_ALLOC_FIRST; mfn < MACHINE_ALLOC_FIRST + MACHINE_ALLOC_FRAMES;
	     mfn++)
		n += !*(u64 *)mfn_to_virt(mfn);
	return n;
}

void irq_window(void)
{
	u64 now = counting ? clear_frames_now() : 0;

	if (now > clear_before)
		clear_at_most = MAX(clear_at_most, now - clear_before);
	clear_before = now;
}

/* From now on, count what is cleared between two windows; all of this memory is not clear now. */
static void count_cleared(enum frame_type type)
{
	for (mfn_t mfn = MACHINE_ALLOC_FIRST; mfn < MACHINE_ALLOC_FIRST + MACHINE_ALLOC_FRAMES;
	     mfn++) {
		struct frame_info f;

		assert_true(frame_query(mfn, &f));
		if (f.type == type)
			*(u64 *)mfn_to_virt(mfn) = ~0UL;
	}
	counting = true;
	clear_before = clear_frames_now();
	clear_at_most = 0;
}

static u64 stop_counting(void)
{
	irq_window();
	counting = false;
	return clear_at_most;
}

/* A table or two may be cleared too. */
#define CLEAR_LIMIT (CLEAR_STEP + 4)

static void cleared_in_steps(void **state)
{
	gfn_t gfn = 0;
	int ret;

	(void)state;
	assert_true(vtd_start(&plain));
	nested_format = &test_format;
	before = alloc_free_frames();
	memset(&d, 0, sizeof(d));
	assert_int_equal(memory_init(&d, 1, "d", wake, NULL), 0);
	count_cleared(FRAME_FREE);
	assert_int_equal(memory_build(&d, FRAMES << PAGE_SHIFT), 0);
	assert_in_range(stop_counting(), CLEAR_STEP, CLEAR_LIMIT);

	for (gfn_t at = 0; at < FRAMES; at += 512)
		assert_int_equal(memory_release(&d, at, 512), 512);
	vtd_settle();
	assert_int_equal(d.pages_owned, 0);
	count_cleared(FRAME_FREE);
	for (u64 nr = 0; nr < FRAMES / 2; irq_window()) {
		s64 n = memory_populate(&d, nr, FRAMES - nr);

		assert_true(n > 0);
		nr += (u64)n;
	}
	assert_in_range(stop_counting(), CLEAR_STEP, CLEAR_LIMIT);
	assert_true(d.nested.entries[1] > 0);

	/* Half of it is there, half of it is not. */
	assert_int_equal(memory_release(&d, 100, 250), 250);
	vtd_settle();
	count_cleared(FRAME_RAM);
	while ((ret = memory_renew_step(&d, &gfn)) == STEP_MORE)
		irq_window();
	assert_int_equal(ret, STEP_DONE);
	clear_all(&d);
	assert_in_range(stop_counting(), CLEAR_STEP, CLEAR_LIMIT);

	gfn = 0;
	while (map_step(&gfn))
		;
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	vtd_settle();
	finish();
}

/* A unit without snoop control lets devices read memory past the CPU's caches: what is cleared, at
 * first, again or anew, has reached memory. The units of the tests read from there. */
static void clear_in_memory_too(void **state)
{
	gfn_t gfn = 0;
	int ret;

	(void)state;
	start();
	memset(phys_to_virt(lookup(5).mfn << PAGE_SHIFT), 0xff, PAGE_SIZE);
	hw_write_back(phys_to_virt(lookup(5).mfn << PAGE_SHIFT), PAGE_SIZE);
	while ((ret = memory_renew_step(&d, &gfn)) == STEP_MORE)
		;
	assert_int_equal(ret, STEP_DONE);
	clear_all(&d);
	assert_int_equal(memory_release(&d, 512, 512), 512);
	vtd_settle();
	assert_int_equal(memory_populate(&d, 512, 512), 512);
	/* What a loader clears when it has started before. */
	memset(phys_to_virt(lookup(7).mfn << PAGE_SHIFT), 0xff, PAGE_SIZE);
	hw_write_back(phys_to_virt(lookup(7).mfn << PAGE_SHIFT), PAGE_SIZE);
	assert_int_equal(guest_zero(&d, 7UL << PAGE_SHIFT, PAGE_SIZE), 0);
	for (gfn = 0; gfn < FRAMES; gfn++)
		for (u64 at = 0; at < PAGE_SIZE; at += 64)
			assert_int_equal(machine_walker_read(&vtd_units[0],
							     (lookup(gfn).mfn << PAGE_SHIFT) + at),
					 0);
	gfn = 0;
	while (map_step(&gfn))
		;
	assert_int_equal(iommu_attach(d.iommu, VTD_DEVICE_0, 0), 0);
	vtd_settle();
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapped_later),
		cmocka_unit_test(clear_in_memory_too),
		cmocka_unit_test(largest_leaves_in_bounded_steps),
		cmocka_unit_test(registers_in_bounded_steps),
		cmocka_unit_test(steps_count_the_entries_of_units),
		cmocka_unit_test(not_for_the_control_domain),
		cmocka_unit_test(none_where_interrupts_go),
		cmocka_unit_test(renewed),
		cmocka_unit_test(given_back_without_memory),
		cmocka_unit_test(cleared_in_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
