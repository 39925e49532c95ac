/* Bugs of other hypervisors in interrupt remapping. Each test says what went wrong there and what
 * would be observed here. For what a guest can do with its device's registers, see test_vpci.c.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#define SECOND (vtd_devices[4]) /* behind the same unit as device 0 */

static int freed;

static void count_freed(void *arg)
{
	(void)arg;
	freed++;
}

/* XSA-33: entries accepted messages from any device. XSA-36: entries were shared between devices,
 * and old ones were not cleared. Here each device sends through each entry: only its own entries
 * deliver, and a freed entry delivers nothing, whoever gets it next. */
static void an_entry_is_one_devices(void **state)
{
	const struct pci_id dev[2] = { VTD_DEVICE_0, SECOND };
	struct iommu_irte e[64], last;
	u64 entry;

	(void)state;
	start(&plain, false);
	for (u32 i = 0; i < 64; i++) {
		assert_int_equal(iommu_irte_alloc(&e[i], dev[i / 3 % 2]), 0);
		for (u32 k = 0; k < i; k++)
			assert_true(e[i].index != e[k].index);
		assert_false(vtd_interrupt(dev[i / 3 % 2], e[i].index, &entry)); /* not set yet */
		iommu_irte_set(&e[i], i, (u8)(64 + i));
	}
	vtd_settle();
	for (u16 i = 0; i < IRTE_PER_UNIT; i++)
		for (u32 n = 0; n < 2; n++) {
			bool own = false;

			for (u32 k = 0; k < 64; k++)
				own |= e[k].index == i && e[k].dev.bdf == dev[n].bdf;
			assert_int_equal(vtd_interrupt(dev[n], i, &entry), own);
		}

	last = e[9];
	assert_int_equal(last.dev.bdf, SECOND.bdf);
	freed = 0;
	iommu_irte_free(&e[9], count_freed, NULL);
	assert_false(e[9].valid);
	/* The unit still caches the entry: it is not allocated again. */
	assert_true(vtd_interrupt(SECOND, last.index, &entry));
	assert_int_equal(iommu_irte_alloc(&e[9], VTD_DEVICE_0), 0);
	assert_true(e[9].index != last.index);
	vtd_settle();
	assert_int_equal(freed, 1);
	assert_false(vtd_interrupt(SECOND, last.index, &entry));
	iommu_irte_free(&e[9], NULL, NULL);
	vtd_settle();
	while (!iommu_irte_alloc(&e[9], VTD_DEVICE_0) && e[9].index != last.index)
		;
	assert_int_equal(e[9].index, last.index);
	iommu_irte_set(&e[9], 1, 77);
	vtd_settle();
	assert_false(vtd_interrupt(SECOND, last.index, &entry));
	assert_true(vtd_interrupt(VTD_DEVICE_0, last.index, &entry));
	finish(false);
}

/* XSA-360, XSA-395: vectors and entries leaked when a device changed owners, or when its interrupt
 * was just being moved. Here more entries are allocated and freed than exist, each in a different
 * state. */
static void entries_do_not_leak(void **state)
{
	struct iommu_irte e[8];

	(void)state;
	start(&plain, false);
	freed = 0;
	for (u32 round = 0; round < IRTE_PER_UNIT; round++) {
		for (u32 i = 0; i < 8; i++) {
			assert_int_equal(iommu_irte_alloc(&e[i], i % 2 ? VTD_DEVICE_0 : SECOND), 0);
			if (i & 1)
				iommu_irte_set(&e[i], round, 65);
			if (i & 2)
				vtd_execute(0, round % 4);
			if (i & 4)
				iommu_irte_mask(&e[i]);
		}
		for (u32 i = 0; i < 8; i++)
			iommu_irte_free(&e[i], count_freed, NULL);
		if (round % 3)
			vtd_settle();
	}
	vtd_settle();
	assert_int_equal(freed, 8 * IRTE_PER_UNIT);
	assert_int_equal(iommu_units[0].nr_irtes, 0);
	finish(false);
}

/* XSA-467: a caller that changed an entry waited for the unit while it held a lock that others
 * needed. Here the unit does not process its queue: all calls return, the old interrupt stays
 * blocked or in force, and a freed entry is not allocated again. */
static void nobody_waits_for_the_unit(void **state)
{
	struct iommu_irte e[IRTE_PER_UNIT], more;

	(void)state;
	start(&plain, false);
	freed = 0;
	for (int i = 0; i < IRTE_PER_UNIT; i++) {
		assert_int_equal(iommu_irte_alloc(&e[i], i % 2 ? VTD_DEVICE_0 : SECOND), 0);
		iommu_irte_set(&e[i], 3, 65);
	}
	for (int i = 0; i < IRTE_PER_UNIT; i++) {
		iommu_irte_set(&e[i], 4, 66);
		iommu_irte_mask(&e[i]);
		iommu_irte_free(&e[i], count_freed, NULL);
	}
	assert_int_equal(iommu_irte_alloc(&more, VTD_DEVICE_0), -ENOSPC);
	assert_int_equal(freed, 0);
	/* One flush completes: its entry, and no other, can be allocated again if it has been
	 * flushed after its last change. */
	while (!freed) {
		assert_true(vtd_execute(0, 3));
		vtd_interrupts();
	}
	assert_int_equal(freed, 1);
	assert_int_equal(iommu_irte_alloc(&more, VTD_DEVICE_0), 0);
	assert_int_equal(more.index, e[0].index);
	assert_int_equal(iommu_irte_alloc(&more, VTD_DEVICE_0), -ENOSPC);
	vtd_settle();
	assert_int_equal(freed, IRTE_PER_UNIT);
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_one_devices),
		cmocka_unit_test(entries_do_not_leak),
		cmocka_unit_test(nobody_waits_for_the_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
