/* Bugs of other hypervisors when devices change owners: DMA in flight, reserved memory, domain ids,
 * time-outs. Each test says what went wrong there and what would be observed here.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#include <iommu/entry.h>
#include <iommu/quarantine.h>

#define OTHER 2
#define OTHERS_FRAME (VTD_RAM_FIRST + (2UL << 18))

static struct iommu_domain *other;

static void start_other(void)
{
	assert_int_equal(frame_set(OTHERS_FRAME, ORDER_1G, FRAME_RAM, OTHER), 0);
	assert_int_equal(iommu_domain_create(&other, OTHER, "other", wake, NULL), 0);
}

static int map_other(dfn_t dfn, mfn_t mfn, u64 nr)
{
	IOMMU_GATHER(g);
	int ret;

	assert_int_equal(iommu_gather_begin(&g, other), 0);
	ret = iommu_map(&g, dfn, mfn, nr, RW);
	iommu_gather_commit(&g, 0);
	return ret;
}

static void finish_other(void)
{
	gone = false;
	iommu_domain_destroy(other, mark_gone, NULL);
	vtd_settle();
	assert_true(gone);
}

/* XSA-302, XSA-306, XSA-450: a device taken from a guest continued its DMA into the memory of the
 * next owner. Here the device ignores its bus master bit and continues too: until it is reported as
 * detached it may reach the memory of its domain, which stays referenced; after that it reaches
 * nothing; and once attached to another domain, it reaches that domain's memory only. */
static void dma_goes_on_while_the_device_changes_hands(void **state)
{
	mfn_t seen;

	(void)state;
	start(&plain, false);
	start_other();
	assert_int_equal(map(5, VTD_RAM_FIRST + 5, 4), 0);
	assert_int_equal(map_other(7, OTHERS_FRAME + 7, 4), 0);
	for (dfn_t i = 5; i < 9; i++)
		assert_true(vtd_dma(VTD_DEVICE_0, i, &seen));

	detached = false;
	iommu_detach(VTD_DEVICE_0, mark_detached, NULL);
	assert_true(vtd_dma(VTD_DEVICE_0, 5, &seen));
	assert_int_equal(seen, VTD_RAM_FIRST + 5);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 5), 1);
	/* No other domain gets the memory before. */
	assert_int_equal(iommu_attach(other, VTD_DEVICE_0, 0), -EBUSY);
	vtd_settle();
	assert_true(detached);
	for (dfn_t i = 0; i < 16; i++)
		assert_false(vtd_dma(VTD_DEVICE_0, i, &seen));

	assert_int_equal(iommu_attach(other, VTD_DEVICE_0, 0), 0);
	for (dfn_t i = 0; i < 16; i++) {
		assert_int_equal(vtd_dma(VTD_DEVICE_0, i, &seen), i >= 7 && i < 11);
		if (i >= 7 && i < 11)
			assert_int_equal(seen, OTHERS_FRAME + i);
	}
	detach(VTD_DEVICE_0);
	finish_other();
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
	finish(false);
}

/* XSA-399: a domain id was reused while units still had entries of the previous domain cached under
 * it. Here the second domain with that id would reach a page of the first. */
static void a_domain_id_comes_back(void **state)
{
	mfn_t seen;
	u16 did;

	(void)state;
	start(&plain, false);
	start_other();
	did = other->did;
	assert_int_equal(map_other(5, OTHERS_FRAME, 600), 0);
	assert_int_equal(iommu_attach(other, vtd_devices[4], 0), 0);
	assert_true(vtd_dma(vtd_devices[4], 5, &seen));
	detach(vtd_devices[4]);
	finish_other();
	assert_int_equal(frame_dev_refs(OTHERS_FRAME), 0);

	assert_int_equal(iommu_domain_create(&other, OTHER, "again", wake, NULL), 0);
	assert_int_equal(other->did, did);
	assert_int_equal(iommu_attach(other, vtd_devices[4], 0), 0);
	for (dfn_t i = 0; i < 1024; i++)
		assert_false(vtd_dma(vtd_devices[4], i, &seen));
	detach(vtd_devices[4]);
	finish_other();
	finish(false);
}

static bool reserved_is_mapped(void)
{
	u64 entry[5];
	mfn_t mfn;
	unsigned int n = iommu_walk_owner(OWNER, VTD_RESERVED_FIRST, entry, &mfn);

	return n && mfn == VTD_RESERVED_FIRST && is_present(entry[n - 1]);
}

/* XSA-378, XSA-386, XSA-400: reserved regions were lost, or left behind, when a device was attached
 * again. Here the device is attached again while its region is still being unmapped: attaching has
 * to wait, and the region is mapped afterwards. */
static void reserved_memory_of_a_device_that_comes_back(void **state)
{
	struct pci_id dev = VTD_RESERVED_DEVICE(0), twin = VTD_RESERVED_DEVICE(1);
	mfn_t seen;

	(void)state;
	start(&plain, false);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(iommu_attach(d, dev, 0), 0);
		assert_true(vtd_dma(dev, VTD_RESERVED_FIRST, &seen));
		assert_int_equal(seen, VTD_RESERVED_FIRST);
		detached = false;
		iommu_detach(dev, mark_detached, NULL);
		for (unsigned int i = 0; i < VTD_UNITS; i++)
			vtd_execute(i, ~0u);
		while (!detached)
			assert_true(vtd_interrupts() || vtd_work());
		/* The unmapping is posted but has not completed. */
		assert_int_equal(iommu_attach(d, dev, 0), -EAGAIN);
		assert_int_equal(iommu_attach(d, twin, 0), -EAGAIN);
		assert_int_equal(iommu_device_state(dev), IOMMU_DEVICE_FREE);
		vtd_settle();
		assert_false(reserved_is_mapped());
	}
	assert_int_equal(iommu_attach(d, twin, 0), 0);
	assert_int_equal(iommu_attach(d, dev, 0), 0);
	detach(twin);
	assert_true(vtd_dma(dev, VTD_RESERVED_FIRST, &seen));
	detach(dev);
	assert_false(reserved_is_mapped());
	finish(false);
}

static struct pci_id flooding;
static int floods;

static void flood(void *arg)
{
	char name[32];

	(void)arg;
	floods++;
	for (int i = 0; i < 5000; i++)
		(void)quarantine_count_fault(flooding, WEIR_FAULT_CONTEXT, name, sizeof(name));
}

/* XSA-460: an error in the middle of an assignment left a half-finished state. Here the device
 * raises faults without end while it is being attached, just as its reserved memory is mapped. It
 * may be quarantined before or after attaching, but never in between: a device that is not reported
 * as attached must reach nothing. */
static void a_flood_of_faults_in_the_middle_of_attaching(void **state)
{
	struct pci_id dev = VTD_RESERVED_DEVICE(0);
	struct iommu_domain *flooded;
	mfn_t seen;

	(void)state;
	start(&plain, false);
	flooding = dev;
	floods = 0;
	assert_int_equal(iommu_domain_create(&flooded, OTHER, "flooded", flood, NULL), 0);
	/* As if a vCPU had just found no batch free: the one that maps the memory wakes it. */
	flooded->batch_wanted = true;
	assert_int_equal(iommu_attach(flooded, dev, 0), 0);
	assert_true(floods > 0);
	vtd_settle();
	assert_int_equal(vtd_dma(dev, VTD_RESERVED_FIRST, &seen),
			 iommu_device_state(dev) == IOMMU_DEVICE_ATTACHED);
	detach(dev);
	assert_false(vtd_dma(dev, VTD_RESERVED_FIRST, &seen));
	gone = false;
	iommu_domain_destroy(flooded, mark_gone, NULL);
	vtd_settle();
	assert_true(gone);
	finish(false);
}

/* XSA-449: state that an assignment had set up outlived it and affected the next owner. Here a
 * device is quarantined for its faults and then detached: for its next owner it is an ordinary
 * device. */
static void quarantined_and_given_to_the_next(void **state)
{
	char name[32];
	mfn_t seen;

	(void)state;
	start(&plain, false);
	start_other();
	assert_int_equal(map_other(7, OTHERS_FRAME + 7, 1), 0);
	for (int i = 0; i < 5000; i++)
		(void)quarantine_count_fault(VTD_DEVICE_0, WEIR_FAULT_WRITE, name, sizeof(name));
	vtd_settle();
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_QUARANTINED);
	assert_int_equal(iommu_attach(other, VTD_DEVICE_0, 0), -EBUSY);
	detach(VTD_DEVICE_0);
	assert_int_equal(iommu_attach(other, VTD_DEVICE_0, 0), 0);
	assert_int_equal(quarantine_count_fault(VTD_DEVICE_0, WEIR_FAULT_WRITE, name, sizeof(name)),
			 OTHER);
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_ATTACHED);
	assert_true(vtd_dma(VTD_DEVICE_0, 7, &seen));
	detach(VTD_DEVICE_0);
	finish_other();
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
	finish(false);
}

/* How many faults the device's blocked requests record. */
static u32 recorded(struct pci_id dev)
{
	struct vtd_device *s = &vtd_device_states[vtd_device_index(dev)];
	u32 before = s->faults;
	mfn_t seen;

	vtd_whims = true; /* random behaviour, so that faults are recorded now and then */
	for (dfn_t i = 0; i < 2000; i++)
		assert_false(vtd_dma(dev, i, &seen));
	vtd_whims = false;
	vtd_settle();
	return s->faults - before;
}

/* Elsewhere, faults of an unassigned or stopped device kept the hypervisor busy. Here faults of a
 * quarantined device are no longer recorded, until it is attached again. */
static void quarantined_and_silent(void **state)
{
	char name[32];

	(void)state;
	start(&plain, false);
	for (int cut = 0; cut < 3; cut++) {
		assert_int_equal(recorded(VTD_DEVICE_0) > 0, cut != 1);
		if (cut == 0) {
			for (int i = 0; i < 5000; i++)
				(void)quarantine_count_fault(VTD_DEVICE_0, WEIR_FAULT_WRITE, name,
							     sizeof(name));
			vtd_settle();
			assert_true(iommu_device_state(VTD_DEVICE_0) == IOMMU_DEVICE_QUARANTINED);
		} else if (cut == 1) {
			detach(VTD_DEVICE_0);
			assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
		}
	}
	finish(false);
}

static u16 blocked_fault(void)
{
	char name[32];

	return quarantine_count_fault(VTD_DEVICE_0, WEIR_FAULT_CONTEXT, name, sizeof(name));
}

/* An unassigned device is blocked from the start. Each blocked request would be a fault for Weir to
 * read, without end, on the CPU of some guest. */
static void a_flood_of_nobodys_device(void **state)
{
	static const struct vtd_config caching = { .cap_set = CAP_CM };
	const struct vtd_config *const configs[] = { &plain, &caching };

	(void)state;
	for (u32 c = 0; c < ARRAY_SIZE(configs); c++) {
		start(configs[c], false);
		for (int times = 0; times < 2; times++) {
			detach(VTD_DEVICE_0);
			assert_int_not_equal(recorded(VTD_DEVICE_0), 0);
			for (int i = 0; i < 1500; i++)
				assert_int_equal(blocked_fault(), OWNER_NONE);
			vtd_settle();
			assert_int_equal(recorded(VTD_DEVICE_0), 0);
			/* Its next owner's faults are recorded again. */
			assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
			vtd_settle();
			assert_int_not_equal(recorded(VTD_DEVICE_0), 0);
		}
		finish(false);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dma_goes_on_while_the_device_changes_hands),
		cmocka_unit_test(a_domain_id_comes_back),
		cmocka_unit_test(reserved_memory_of_a_device_that_comes_back),
		cmocka_unit_test(a_flood_of_faults_in_the_middle_of_attaching),
		cmocka_unit_test(quarantined_and_given_to_the_next),
		cmocka_unit_test(quarantined_and_silent),
		cmocka_unit_test(a_flood_of_nobodys_device),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
