/* Bugs of other hypervisors between a page's type and its mappings for devices, and when memory ran
 * out half-way. Each test says what went wrong there and what would be observed here. For races
 * between the two, see test_frame.c.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#include <iommu/entry.h>

/* The frame table refuses; tables allocated on the way are freed again. */
static bool refused(int ret)
{
	vtd_settle();
	return ret == -EPERM || ret == -EBUSY;
}

/* XSA-288, XSA-401: a page became a page table while a device could write to it, or the reverse.
 * Here each is refused as long as the other lasts: a tombstone counts like a mapping, a block like
 * its pages. */
static void a_page_is_a_table_or_a_devices(void **state)
{
	static const enum frame_type tables[] = { FRAME_IO_TABLE, FRAME_NESTED_TABLE };
	const mfn_t page = VTD_RAM_FIRST + 1000, block = VTD_RAM_FIRST + 1024;

	(void)state;
	start(&plain, false);
	for (u32 i = 0; i < ARRAY_SIZE(tables); i++) {
		assert_int_equal(map(5, page, 1), 0);
		assert_int_equal(map(512, block, 512), 0);
		assert_int_equal(frame_set(page, 0, tables[i], OWNER), -EBUSY);
		assert_int_equal(frame_set(block + 77, 0, tables[i], OWNER), -EBUSY);
		unmap(5, 1);
		unmap(512, 512);
		vtd_execute(0, ~0u);
		vtd_interrupts();
		assert_int_equal(frame_set(page, 0, tables[i], OWNER), -EBUSY);
		assert_int_equal(frame_set(block + 77, 0, tables[i], OWNER), -EBUSY);
		vtd_settle();
		assert_int_equal(frame_set(page, 0, tables[i], OWNER), 0);
		assert_int_equal(frame_set(block + 77, 0, tables[i], OWNER), 0);

		assert_true(refused(map(5, page, 1)));
		assert_true(refused(map(5, page - 4, 8)));
		/* Neither the block around it, nor its neighbours with a later collapse. */
		assert_true(refused(map(512, block, 512)));
		assert_int_equal(map(512, block, 77), 0);
		assert_int_equal(map(512 + 78, block + 78, 512 - 78), 0);
		assert_true(refused(map(512 + 77, block + 77, 1)));
		unmap(512, 512);
		vtd_settle();
		assert_int_equal(frame_set(page, 0, FRAME_RAM, OWNER), 0);
		assert_int_equal(frame_set(block, ORDER_2M, FRAME_RAM, OWNER), 0);
	}
	finish(false);
}

/* XSA-287: a page was taken from its owner although it was still in use. Here a page's owner and
 * type do not change, and it is not freed, before the last device has lost it; and no domain can
 * map another domain's page. */
static void a_page_changes_hands_when_no_device_reaches_it(void **state)
{
	const mfn_t page = VTD_RAM_FIRST + 1000;

	(void)state;
	start(&plain, false);
	assert_int_equal(map(5, page, 1), 0);
	assert_int_equal(map(9, page, 1), 0);
	unmap(5, 1);
	vtd_settle();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(frame_set(page, 0, FRAME_RAM, OWNER + 1), -EBUSY);
		assert_int_equal(frame_set(page, 0, FRAME_FREE, OWNER_NONE), -EBUSY);
		assert_int_equal(frame_set(page, 0, FRAME_WEIR, OWNER_WEIR), -EBUSY);
		assert_int_equal(frame_set(VTD_RAM_FIRST, ORDER_1G, FRAME_RAM, OWNER + 1), -EBUSY);
		unmap(9, 1);
	}
	vtd_settle();
	assert_int_equal(frame_set(page, 0, FRAME_RAM, OWNER + 1), 0);
	assert_true(refused(map(5, page, 1)));
	assert_true(refused(map(0, VTD_RAM_FIRST, 1024)));
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	assert_int_equal(frame_set(page, 0, FRAME_RAM, OWNER), 0);
	finish(false);
}

static bool no_memory(unsigned int order)
{
	(void)order;
	return true;
}

/* XSA-291: mapping for devices failed, and the page's reference counts were wrong afterwards. Here
 * each way to fail leaves all counts unchanged. */
static void a_mapping_that_fails_leaves_no_reference(void **state)
{
	const mfn_t end = VTD_RAM_FIRST + (2UL << 18);
	struct weir_stats was = { 0 }, is = { 0 };

	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 16), 0);
	assert_int_equal(map(600, VTD_RAM_FIRST + 600, 1), 0);
	unmap(8, 2);
	vtd_settle();
	iommu_domain_stats(d, &was);
	unmap(4, 1);
	assert_int_equal(map(1UL << 20, end - 512 - 4, 512 + 8), -EPERM);
	assert_int_equal(map(200, VTD_RAM_FIRST + 2000, 1000), -EEXIST);
	assert_int_equal(map(4, VTD_RAM_FIRST + 4, 1), -EAGAIN);
	assert_int_equal(map(frames_of(5) - 2, VTD_RAM_FIRST, 4), -ERANGE);
	assert_int_equal(map(~0UL - 1, VTD_RAM_FIRST, 4), -ERANGE);
	alloc_fail_hook = no_memory;
	assert_int_equal(map((3UL << 18) - 1, VTD_RAM_FIRST + 3000, 2), -ENOMEM);
	alloc_fail_hook = NULL;
	vtd_settle();
	assert_int_equal(map(4, VTD_RAM_FIRST + 4, 1), 0);
	vtd_settle();
	iommu_domain_stats(d, &is);
	assert_int_equal(is.io_references, was.io_references);
	for (u64 i = 0; i < 3; i++)
		assert_int_equal(is.io_entries[i], was.io_entries[i]);
	for (mfn_t m = VTD_RAM_FIRST; m < VTD_RAM_FIRST + 4096; m++)
		assert_int_equal(frame_dev_refs(m),
				 (m - VTD_RAM_FIRST < 16 && (m - VTD_RAM_FIRST) / 2 != 4) ||
					 m == VTD_RAM_FIRST + 600);
	for (mfn_t m = end - 1024; m < end; m++)
		assert_int_equal(frame_dev_refs(m), 0);
	finish(false);
}

/* XSA-222: a superpage could not be split for lack of memory, the error was ignored, and the page
 * was freed while a device had it mapped. Here, without any memory, either the gather does not
 * begin and nothing is unmapped, or it begins and even the largest possible unmapping succeeds. */
static void unmapping_without_memory(void **state)
{
	mfn_t seen;
	u64 begun = 0;

	(void)state;
	start(&plain, false);
	assert_int_equal(map(1UL << 18, VTD_RAM_FIRST, 2UL << 18), 0);
	alloc_fail_hook = no_memory;
	for (u64 i = 0; i < 40; i++) {
		const dfn_t first = (1UL << 18) + 5000 * (i + 1) + 3, last = first + 3000;
		IOMMU_GATHER(g);

		assert_true(vtd_dma(VTD_DEVICE_0, first, &seen));
		if (iommu_gather_begin(&g, d)) {
			assert_true(vtd_dma(VTD_DEVICE_0, first, &seen));
			assert_int_equal(frame_dev_refs(seen), 1);
			continue;
		}
		begun++;
		iommu_unmap(&g, first, last - first);
		iommu_gather_commit(&g, last - first);
		vtd_settle();
		assert_false(vtd_dma(VTD_DEVICE_0, first, &seen));
		assert_false(vtd_dma(VTD_DEVICE_0, last - 1, &seen));
		assert_true(vtd_dma(VTD_DEVICE_0, first - 1, &seen));
		assert_true(vtd_dma(VTD_DEVICE_0, last, &seen));
		assert_int_equal(seen, VTD_RAM_FIRST + last - (1UL << 18));
	}
	alloc_fail_hook = NULL;
	assert_in_range(begun, 1, 39);
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_page_is_a_table_or_a_devices),
		cmocka_unit_test(a_page_changes_hands_when_no_device_reaches_it),
		cmocka_unit_test(a_mapping_that_fails_leaves_no_reference),
		cmocka_unit_test(unmapping_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
