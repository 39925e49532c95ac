/* However much is released at once, one step of deferred work frees a bounded number of tables. The
 * simulated machine also checks each step against the limits of kernel/mm/alloc.h.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#define GIB (1UL << 18) /* in frames */
#define MOST 128 /* tables: each costs eight of 512 entries; and what a domain keeps in reserve */

/* Without superpages, 2 GiB take 1,024 tables of 4 KiB leaves. */
static const struct vtd_config small = { .cap_clear = CAP_SLLPS_1G | CAP_SLLPS_2M };

static void map_all(void)
{
	struct weir_stats s = { 0 };

	start(&small, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 2 * GIB), 0);
	iommu_domain_stats(d, &s);
	assert_in_range(s.io_tables, 1025, 1030);
}

/* Do all work, step by step. Returns the number of tables that were freed. */
static u64 work_frees(void)
{
	u64 first = alloc_free_frames(), before = first;

	while (vtd_work()) {
		u64 now = alloc_free_frames();

		assert_in_range(now - before, 0, MOST);
		before = now;
	}
	return before - first;
}

static void release_all(void)
{
	unmap(0, 2 * GIB);
	vtd_execute(0, ~0u);
	vtd_interrupts();
	assert_in_range(work_frees(), 1024, 1030);
	vtd_settle();
	finish(false);
}

/* Each table holds one reference, on the block that its leaves form. */
static void tables_of_whole_blocks(void **state)
{
	(void)state;
	map_all();
	release_all();
}

/* Each table holds 511 references. */
static void tables_of_pages(void **state)
{
	(void)state;
	map_all();
	for (dfn_t dfn = 0; dfn < 2 * GIB; dfn += 512) {
		unmap(dfn + 7, 1);
		vtd_settle();
	}
	release_all();
}

static void a_domain_ends(void **state)
{
	(void)state;
	map_all();
	detach(VTD_DEVICE_0);
	gone = false;
	iommu_domain_destroy(d, mark_gone, NULL);
	assert_in_range(work_frees(), 1024, 1100);
	assert_true(gone);
	for (mfn_t m = VTD_RAM_FIRST; m < VTD_RAM_FIRST + 2 * GIB; m += 511)
		assert_int_equal(frame_dev_refs(m), 0);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_of_whole_blocks),
		cmocka_unit_test(tables_of_pages),
		cmocka_unit_test(a_domain_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
