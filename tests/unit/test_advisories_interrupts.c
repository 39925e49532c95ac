/* Bugs of other hypervisors in interrupt remapping. Each test says what went wrong there and what
 * would be observed here. For what a guest can do with its device's registers, see test_vpci*.c.
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
	struct iommu_irtes e[8], last;
	u64 entry;

	(void)state;
	start(&plain, false);
	for (u32 i = 0; i < 8; i++) {
		assert_int_equal(iommu_irtes_alloc(&e[i], dev[i / 3 % 2], NULL, NULL), 0);
		for (u32 k = 0; k < i; k++)
			assert_true(e[i].first != e[k].first);
		assert_false(vtd_interrupt(dev[i / 3 % 2], e[i].first, &entry)); /* not set yet */
		for (u32 k = 0; k < IOMMU_IRTES; k += 3)
			iommu_irtes_set(&e[i], k, i, (u8)(64 + k));
	}
	vtd_settle();
	for (u16 i = 0; i < IRTE_PER_UNIT; i++)
		for (u32 n = 0; n < 2; n++) {
			bool own = false;

			for (u32 k = 0; k < 8; k++)
				own |= i >= e[k].first && i < e[k].first + IOMMU_IRTES &&
				       !((i - e[k].first) % 3) && e[k].dev.bdf == dev[n].bdf;
			assert_int_equal(vtd_interrupt(dev[n], i, &entry), own);
		}

	last = e[4];
	assert_int_equal(last.dev.bdf, SECOND.bdf);
	freed = 0;
	iommu_irtes_free(&e[4], count_freed, NULL);
	assert_false(e[4].valid);
	/* The unit still caches the entries: they are not allocated again. */
	assert_true(vtd_interrupt(SECOND, last.first, &entry));
	assert_int_equal(iommu_irtes_alloc(&e[4], VTD_DEVICE_0, NULL, NULL), 0);
	assert_true(e[4].first != last.first);
	vtd_settle();
	assert_int_equal(freed, 1);
	for (u32 k = 0; k < IOMMU_IRTES; k++)
		assert_false(vtd_interrupt(SECOND, (u16)(last.first + k), &entry));
	iommu_irtes_free(&e[4], NULL, NULL);
	vtd_settle();
	while (!iommu_irtes_alloc(&e[4], VTD_DEVICE_0, NULL, NULL) && e[4].first != last.first)
		;
	assert_int_equal(e[4].first, last.first);
	iommu_irtes_set(&e[4], 0, 1, 77);
	vtd_settle();
	assert_false(vtd_interrupt(SECOND, last.first, &entry));
	assert_true(vtd_interrupt(VTD_DEVICE_0, last.first, &entry));
	finish(false);
}

/* XSA-360, XSA-395: vectors and entries leaked when a device changed owners, or when its interrupt
 * was just being moved. Here more entries are allocated and freed than exist, each in a different
 * state. */
static void entries_do_not_leak(void **state)
{
	struct iommu_irtes e[8];

	(void)state;
	start(&plain, false);
	freed = 0;
	for (u32 round = 0; round < MAX_DEVICES; round++) {
		for (u32 i = 0; i < 8; i++) {
			assert_int_equal(iommu_irtes_alloc(&e[i], i % 2 ? VTD_DEVICE_0 : SECOND,
							   NULL, NULL),
					 0);
			if (i & 1)
				iommu_irtes_set(&e[i], round, round, 65);
			if (i & 2)
				vtd_execute(0, round % 4);
			if (i & 4)
				iommu_irtes_block(&e[i], true);
		}
		for (u32 i = 0; i < 8; i++)
			iommu_irtes_free(&e[i], count_freed, NULL);
		if (round % 3)
			vtd_settle();
	}
	vtd_settle();
	assert_int_equal(freed, 8 * MAX_DEVICES);
	assert_int_equal(iommu_units[0].nr_irtes, 0);
	finish(false);
}

/* XSA-467: a caller that changed an entry waited for the unit while it held a lock that others
 * needed. Here the unit does not process its queue: all calls return, the old interrupt stays
 * blocked or in force, and freed entries are not allocated again. */
static void nobody_waits_for_the_unit(void **state)
{
	struct iommu_irtes e[MAX_DEVICES], more;

	(void)state;
	start(&plain, false);
	freed = 0;
	for (u32 i = 0; i < MAX_DEVICES; i++) {
		assert_int_equal(iommu_irtes_alloc(&e[i], i % 2 ? VTD_DEVICE_0 : SECOND, NULL,
						   NULL),
				 0);
		iommu_irtes_set(&e[i], 0, 3, 65);
	}
	for (u32 i = 0; i < MAX_DEVICES; i++) {
		iommu_irtes_set(&e[i], 0, 4, 66);
		iommu_irtes_block(&e[i], true);
		iommu_irtes_free(&e[i], count_freed, NULL);
	}
	assert_int_equal(iommu_irtes_alloc(&more, VTD_DEVICE_0, NULL, NULL), -ENOSPC);
	assert_int_equal(freed, 0);
	/* One flush completes: its entries, and no others, can be allocated again if they have been
	 * flushed after their last change. */
	while (!freed) {
		assert_true(vtd_execute(0, 3));
		vtd_interrupts();
	}
	assert_int_equal(freed, 1);
	assert_int_equal(iommu_irtes_alloc(&more, VTD_DEVICE_0, NULL, NULL), 0);
	assert_int_equal(more.first, e[0].first);
	assert_int_equal(iommu_irtes_alloc(&more, VTD_DEVICE_0, NULL, NULL), -ENOSPC);
	vtd_settle();
	assert_int_equal(freed, MAX_DEVICES);
	finish(false);
}

static u64 in_force;

static void note_in_force(void *arg, u64 entries)
{
	const struct iommu_irtes *e = arg;
	u64 entry;

	in_force |= entries;
	for (u32 i = 0; i < IOMMU_IRTES; i++)
		if (entries & BIT(i))
			assert_true(vtd_interrupt(e->dev, (u16)(e->first + i), &entry));
}

/* An entry was used as soon as it was written. A unit that remembers that it was not present
 * reported the device's first message as a fault, and the interrupt was lost. Here the device has
 * raised the message before, the unit is slow, and the caller is told when the device may send. */
static void an_entry_is_used_when_it_is_in_force(void **state)
{
	struct vtd_config remembers = plain;
	struct iommu_irtes e;
	u64 entry, posted;

	(void)state;
	remembers.cap_set |= CAP_CM;
	start(&remembers, false);
	in_force = 0;
	assert_int_equal(iommu_irtes_alloc(&e, VTD_DEVICE_0, note_in_force, &e), 0);
	for (u16 i = 0; i < IOMMU_IRTES; i++)
		assert_false(vtd_interrupt(VTD_DEVICE_0, (u16)(e.first + i), &entry));
	iommu_irtes_set(&e, 5, 1, 65);
	assert_false(vtd_interrupt(VTD_DEVICE_0, (u16)(e.first + 5), &entry));
	/* What changes while the unit is busy waits for one more invalidation, not for one each. */
	posted = iommu_units[0].queue.nr_posted;
	for (u32 i = 6; i < IOMMU_IRTES; i++)
		iommu_irtes_set(&e, i, 1, 65);
	assert_int_equal(iommu_units[0].queue.nr_posted, posted);
	assert_int_equal(in_force, 0);
	vtd_execute(0, 3);
	vtd_interrupts();
	assert_int_equal(in_force, BIT(5));
	assert_int_equal(iommu_units[0].queue.nr_posted, posted + 1);
	vtd_settle();
	assert_int_equal(in_force, ~0UL << 5);

	/* A pause. An entry that changes again is not in force before its last change is. */
	iommu_irtes_block(&e, true);
	iommu_irtes_set(&e, 0, 1, 65);
	in_force = 0;
	vtd_settle();
	assert_int_equal(in_force, 0);
	for (u16 i = 0; i < IOMMU_IRTES; i++)
		assert_false(vtd_interrupt(VTD_DEVICE_0, (u16)(e.first + i), &entry));
	iommu_irtes_block(&e, false);
	iommu_irtes_set(&e, 5, 1, 66);
	vtd_execute(0, 3);
	vtd_interrupts();
	assert_int_equal(in_force, (~0UL << 5 | 1) & ~BIT(5));
	iommu_irtes_block(&e, true);
	in_force = 0;
	vtd_settle();
	assert_int_equal(in_force, 0);
	iommu_irtes_free(&e, NULL, NULL);
	vtd_settle();
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_one_devices),
		cmocka_unit_test(entries_do_not_leak),
		cmocka_unit_test(nobody_waits_for_the_unit),
		cmocka_unit_test(an_entry_is_used_when_it_is_in_force),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
