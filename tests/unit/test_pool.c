/* The pool: what is lent to the control domain's devices is cleared before they reach it, and comes
 * back when mapping it fails.
 *
 * sources: $(IOMMU_SRCS) $(MEMORY_SRCS) kernel/guest/memory/pool.c
 * libs: $(IOMMU_LIBS)
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <drivers/pci.h>
#include <iommu/iommu.h>
#include <kernel/core/paging.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/memrelease.h>
#include <kernel/guest/memory/pool.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/bootmem.h>
#include <kernel/mm/frame.h>
#include <tests/unit/memory_alone.h>
#include <tests/unit/memory_build.h>
#include <tests/unit/nested_format.h>
#include <tests/unit/vtd_check.h>

#include <cmocka.h>

#define OWN 1024UL /* frames of the control domain */
/* The allocator gets the frames of this test beside those of the simulated machine. */
#define RAM (32UL << (20 - PAGE_SHIFT))
#define ALL (RAM + MACHINE_ALLOC_FRAMES)

const struct rangeset *bootmem_ram(void)
{
	static const struct rangeset none;

	return &none;
}

const struct rangeset *bootmem_reserved(void)
{
	return bootmem_ram();
}

int pci_add_ecam(struct rangeset *set)
{
	(void)set;
	return 0;
}

/* The n-th of all frames that the allocator was given. */
static mfn_t frame(u64 n)
{
	return n < RAM ? VTD_RAM_FIRST + n : MACHINE_ALLOC_FIRST + n - RAM;
}

static struct memory control;
static u64 tables_left; /* 0: there is no limit */

static bool no_table(unsigned int order)
{
	return order == ORDER_4K && tables_left && !--tables_left;
}

static void wake(void *arg)
{
	(void)arg;
}

static void wake_all(void)
{
}

static void mark(void *arg)
{
	*(bool *)arg = true;
}

/* A domain that ended before has left them everywhere. */
static void leave_secrets(void)
{
	for (u64 i = 0; i < ALL; i++) {
		struct frame_info f;

		if (frame_query(frame(i), &f) && f.type == FRAME_FREE)
			memset(mfn_to_virt(frame(i)), 0x5e, PAGE_SIZE);
	}
}

static void begin(const struct vtd_config *config)
{
	assert_true(vtd_start(config));
	nested_format = &test_format;
	alloc_add(VTD_RAM_FIRST, RAM);
	memset(&control, 0, sizeof(control));
	assert_int_equal(memory_init(&control, 1, "control", wake, NULL), 0);
	leave_secrets();
	control.machine_addresses = true;
	assert_int_equal(memory_build(&control, OWN << PAGE_SHIFT), 0);
}

static void finish(void)
{
	bool detached = false, gone = false;
	gfn_t gfn = 0;

	tables_left = 0;
	iommu_detach(VTD_DEVICE_0, mark, &detached);
	vtd_settle();
	assert_true(detached);
	pool_close(&control);
	iommu_domain_destroy(control.iommu, mark, &gone);
	vtd_settle();
	assert_true(gone);
	while (memory_empty_step(&control, &gfn) || pool_end_step(&control))
		;
	memory_free(&control);
	vtd_stop();
}

/* How many frames the device reaches; all of them are clear, or belong to the control domain. */
static u64 reached(void)
{
	u64 n = 0;

	for (u64 at = 0; at < ALL; at++) {
		const u64 *page = mfn_to_virt(frame(at));
		mfn_t seen;

		if (!vtd_dma(VTD_DEVICE_0, frame(at), &seen))
			continue;
		assert_int_equal(seen, frame(at));
		for (u32 i = 0; i < PAGE_SIZE / sizeof(*page); i++)
			assert_int_equal(page[i], 0);
		n++;
	}
	return n;
}

static const struct vtd_config plain, small = { .cap_clear = CAP_SLLPS_2M | CAP_SLLPS_1G };

/* All that CPUs do without being asked for anything. */
static void idle(void)
{
	do
		vtd_settle();
	while (background_run());
}

static void start_pool(void)
{
	gfn_t gfn = 0;
	int ret;

	pool_start(&control, IDENTITY_RELAXED, wake_all);
	while ((ret = pool_map_own_step(&control, &gfn)) == STEP_MORE)
		;
	assert_int_equal(ret, STEP_DONE);
}

/* Other domains get their memory before what is left is lent. */
static void lend(void)
{
	u64 carved;

	assert_int_equal(pool_frames(&carved), 0);
	pool_return();
	idle();
	assert_int_equal(pool_frames(&carved), 0);
	pool_open();
	idle();
}

static void attach(void)
{
	assert_int_equal(iommu_attach(control.iommu, VTD_DEVICE_0, 0), 0);
	vtd_settle();
}

/* At boot, and when a domain has ended. */
static void what_is_lent_is_clear(void **state)
{
	u64 carved, lent;

	(void)state;
	begin(&plain);
	start_pool();
	lend();
	lent = pool_frames(&carved);
	assert_in_range(lent, ALL / 2, ALL);
	attach();
	assert_int_equal(reached(), lent + OWN);

	assert_true(pool_reclaim(4096));
	vtd_settle();
	assert_in_range(pool_frames(&carved), 1, lent - 4096);
	leave_secrets();
	pool_return();
	idle();
	assert_int_equal(pool_frames(&carved), lent);
	assert_int_equal(reached(), lent + OWN);
	finish();
}

/* The n-th table cannot be allocated: nothing is lent then, and the domain goes on. */
static void a_map_that_fails(void **state)
{
	bool failed = true;
	u32 n = 0;

	(void)state;
	alloc_fail_hook = no_table;
	while (failed) {
		u64 carved, lent;

		begin(&small);
		tables_left = ++n;
		start_pool();
		tables_left = 0;
		pool_open();
		idle();
		lent = pool_frames(&carved);
		failed = !lent;
		assert_int_equal(carved, 0);
		assert_false(pool_reclaim(1) && failed);
		vtd_settle();
		attach();
		if (failed)
			assert_in_range(reached(), 0, OWN);
		finish();
	}
	assert_true(n > 3);
	alloc_fail_hook = NULL;
}

/* The same for a block that is lent later: it stays free until the next time. */
static void lending_again_fails(void **state)
{
	u64 carved, lent;

	(void)state;
	begin(&small);
	start_pool();
	lend();
	lent = pool_frames(&carved);
	attach();
	assert_true(pool_reclaim(4096));
	vtd_settle();
	alloc_fail_hook = no_table;
	for (u32 n = 1; n < 8; n++) {
		tables_left = n;
		pool_return();
		idle();
		tables_left = 0;
		assert_in_range(pool_frames(&carved), 1, lent);
		assert_int_equal(carved, 0);
	}
	alloc_fail_hook = NULL;
	pool_return();
	idle();
	assert_int_equal(pool_frames(&carved), lent);
	assert_int_equal(carved, 0);
	finish();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_lent_is_clear),
		cmocka_unit_test(a_map_that_fails),
		cmocka_unit_test(lending_again_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
