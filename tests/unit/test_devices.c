/* Devices of the IOMMU core: their TLBs, and devices that misbehave.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#include <iommu/entry.h>
#include <iommu/quarantine.h>
#include <iommu/queueerror.h>
#include <kernel/core/clock.h>

static bool silent; /* the device does not answer invalidations of its TLB */

static enum vtd_answer answers(u16 bdf)
{
	(void)bdf;
	return silent ? VTD_SILENT : VTD_ANSWERS;
}

static u16 told_owner;
static int quarantined;

static void hear(u16 owner, struct pci_id dev, enum iommu_event event)
{
	(void)dev;
	told_owner = owner;
	quarantined += event == IOMMU_EVENT_QUARANTINED;
}

static void start_ats(const struct vtd_config *config, bool two_units)
{
	start_with(config, two_units, IOMMU_ATS);
	silent = false;
	vtd_device_answers = answers;
	quarantined = 0;
	iommu_set_event_hook(hear);
}

static void run_work(void)
{
	while (vtd_work())
		;
}

static u64 stat_of(u64 (*member)(const struct weir_stats *s))
{
	struct weir_stats s = { 0 };

	iommu_domain_stats(d, &s);
	return member(&s);
}

static u64 tlb_flushes(const struct weir_stats *s)
{
	return s->device_tlb_invalidations;
}

static u64 write_faults(const struct weir_stats *s)
{
	return s->io_faults_by[WEIR_FAULT_WRITE];
}

static u64 in_flight(const struct weir_stats *s)
{
	return s->batches_in_flight;
}

/* A domain with a device behind the same unit as device 0. */
static struct iommu_domain *neighbour(void)
{
	struct iommu_domain *other;
	IOMMU_GATHER(g);

	assert_int_equal(frame_set(VTD_RAM_FIRST + (2UL << 18), ORDER_1G, FRAME_RAM, OWNER + 1), 0);
	assert_int_equal(iommu_domain_create(&other, OWNER + 1, "other", wake, NULL), 0);
	assert_int_equal(iommu_attach(other, vtd_devices[4], 0), 0);
	assert_int_equal(iommu_gather_begin(&g, other), 0);
	assert_int_equal(iommu_map(&g, 0, VTD_RAM_FIRST + (2UL << 18), 64, RW), 0);
	iommu_gather_commit(&g, 0);
	vtd_settle();
	return other;
}

static int unmap_of(struct iommu_domain *other, dfn_t dfn)
{
	IOMMU_GATHER(g);
	int ret = iommu_gather_begin(&g, other);

	if (ret)
		return ret;
	iommu_unmap(&g, dfn, 1);
	iommu_gather_commit(&g, 1);
	return 0;
}

static void neighbour_leaves(struct iommu_domain *other)
{
	detach(vtd_devices[4]);
	iommu_domain_destroy(other, mark_gone, NULL);
	vtd_settle();
}

static enum vtd_answer never(u16 bdf)
{
	(void)bdf;
	return VTD_ANSWERS_LATER;
}

static void act(void)
{
	vtd_execute(0, ~0u);
	vtd_interrupts();
	run_work();
	vtd_execute(0, ~0u);
	vtd_interrupts();
	run_work();
}

/* The link of a device with a TLB is dead: it is not asked, and the neighbour's page is back at
 * once. A virtual function, which has no vendor id, lives and dies with its physical one. */
static void a_dead_link(void **state)
{
	(void)state;
	for (int virtual = 0; virtual < 2; virtual ++) {
		struct iommu_domain *other;

		vtd_virtual = virtual ? VTD_DEVICE_0 : (struct pci_id){ 0 };
		vtd_physical = vtd_devices[4];
		start_ats(&plain, false);
		assert_int_equal(map(5, VTD_RAM_FIRST, 2), 0);
		other = neighbour();
		unmap(5, 1);
		vtd_settle();
		assert_int_equal(quarantined, 0);
		vtd_device_answers = never;
		vtd_gone[virtual ? 4 : 0] = true;
		unmap(6, 1);
		assert_int_equal(unmap_of(other, 7), 0);
		act();
		assert_true(vtd_idle(0));
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + (2UL << 18) + 7), 0);
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1), 0);
		assert_int_equal(quarantined, 1);
		assert_int_equal(stat_of(in_flight), 0);
		memset(vtd_gone, 0, sizeof(vtd_gone));
		neighbour_leaves(other);
		vtd_virtual = (struct pci_id){ 0 };
		finish(false);
	}
}

/* It was there when it was asked. Who is held up by it has it looked at, and it is stopped before
 * the unit gives up; then all goes on. One that is slow, and there, is left alone. */
static void a_link_that_dies_meanwhile(void **state)
{
	(void)state;
	for (int dead = 0; dead < 2; dead++) {
		struct iommu_domain *other;
		dfn_t dfn = 0;

		start_ats(&plain, false);
		assert_int_equal(map(5, VTD_RAM_FIRST, 1), 0);
		other = neighbour();
		vtd_device_answers = never;
		unmap(5, 1);
		vtd_execute(0, ~0u);
		vtd_gone[0] = dead;
		for (int i = 0; i < 11000; i++) /* 1.1 ms */
			(void)clock_ns();
		while (!unmap_of(other, dfn))
			dfn++;
		assert_int_equal(dfn, BATCHES_PER_DOMAIN);
		act();
		assert_int_equal(vtd_stopped[0], dead);
		assert_int_equal(quarantined, dead);
		assert_true(vtd_answer_late(0, dead));
		vtd_device_answers = answers;
		vtd_settle();
		for (u64 i = 0; i < dfn; i++)
			assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + (2UL << 18) + i), 0);
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
		assert_int_equal(quarantined, dead);
		vtd_gone[0] = false;
		neighbour_leaves(other);
		finish(false);
	}
}

/* It has come back before anybody has looked: the batch is answered like any other. */
static void a_link_that_comes_back(void **state)
{
	(void)state;
	start_ats(&plain, false);
	assert_int_equal(map(5, VTD_RAM_FIRST, 1), 0);
	vtd_settle();
	vtd_gone[0] = true;
	unmap(5, 1);
	vtd_gone[0] = false;
	vtd_settle();
	assert_int_equal(quarantined, 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	finish(false);
}

/* The unit throttles invalidations by physical function, if it can (the model compares). The queue
 * is the physical function's. */
static void a_virtual_function_asks_in_its_name(void **state)
{
	const struct vtd_config dit = { .ecap_set = ECAP_DIT };
	u64 flushes;

	(void)state;
	for (int can = 0; can < 2; can++) {
		vtd_virtual = VTD_DEVICE_0;
		vtd_physical = vtd_devices[4];
		start_ats(can ? &dit : &plain, false);
		assert_int_equal(map(5, VTD_RAM_FIRST, 1), 0);
		flushes = stat_of(tlb_flushes);
		unmap(5, 1);
		vtd_settle();
		assert_int_equal(stat_of(tlb_flushes), flushes + 1);
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
		vtd_virtual = (struct pci_id){ 0 };
		finish(false);
	}
}

/* The IOTLB is flushed and its flush has completed, but the device still reaches the page through
 * its own TLB. */
static void a_device_tlb_holds_the_page(void **state)
{
	mfn_t seen;

	(void)state;
	start_ats(&plain, false);
	assert_int_equal(map(5, VTD_RAM_FIRST, 1), 0);
	assert_true(vtd_translated_dma(VTD_DEVICE_0, 5, &seen));
	unmap(5, 1);
	vtd_execute(0, 3);
	vtd_interrupts();
	run_work();
	assert_false(vtd_dma(VTD_DEVICE_0, 5, &seen));
	assert_true(vtd_translated_dma(VTD_DEVICE_0, 5, &seen));
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 1);
	assert_int_equal(map(5, VTD_RAM_FIRST + 1, 1), -EAGAIN);
	vtd_settle();
	assert_false(vtd_translated_dma(VTD_DEVICE_0, 5, &seen));
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	finish(false);
}

/* A device is attached while a page is being unmapped: it may still get the page from the IOTLB,
 * where another device's access left it. */
static void attached_with_a_flush_under_way(void **state)
{
	mfn_t seen;

	(void)state;
	start(&plain, true);
	detach(VTD_DEVICE_0);
	assert_int_equal(iommu_attach(d, vtd_devices[4], 0), 0);
	assert_int_equal(map(5, VTD_RAM_FIRST, 2), 0);
	assert_true(vtd_dma(vtd_devices[4], 5, &seen));
	unmap(5, 1);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, IOMMU_ATS), 0);
	assert_true(vtd_translated_dma(VTD_DEVICE_0, 5, &seen));
	vtd_execute(0, 3);
	vtd_execute(1, 3);
	vtd_interrupts();
	run_work();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 1);
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	assert_false(vtd_translated_dma(VTD_DEVICE_0, 5, &seen));
	assert_true(vtd_translated_dma(VTD_DEVICE_0, 6, &seen));
	detach(vtd_devices[4]);
	finish(true);
}

/* A descriptor of every possible size drops the whole range. */
static void ranges_of_all_sizes(void **state)
{
	mfn_t seen;

	(void)state;
	start_ats(&plain, false);
	for (u64 nr = 1; nr <= 2048; nr = nr * 2 + nr % 3) {
		dfn_t dfn = 3 * nr;

		assert_int_equal(map(dfn, VTD_RAM_FIRST + 1, nr), 0);
		for (u64 i = 0; i < nr; i += MAX(nr / 50, 1UL))
			assert_true(vtd_translated_dma(VTD_DEVICE_0, dfn + i, &seen));
		unmap(dfn, nr);
		vtd_settle();
		for (u64 i = 0; i < nr; i++)
			assert_false(vtd_translated_dma(VTD_DEVICE_0, dfn + i, &seen));
	}
	finish(false);
}

/* One flush at a time, however many commits: the next flush covers everything unmapped
 * meanwhile. */
static void a_slow_device_is_asked_once_at_a_time(void **state)
{
	mfn_t seen;
	u32 reads;

	(void)state;
	start_ats(&plain, false);
	reads = vtd_ats_depth_reads;
	assert_int_equal(map(0, VTD_RAM_FIRST + 1, 100), 0);
	for (dfn_t i = 0; i < 10; i++) {
		assert_true(vtd_translated_dma(VTD_DEVICE_0, 9 * i, &seen));
		unmap(9 * i, 1);
	}
	assert_int_equal(stat_of(tlb_flushes), 1);
	vtd_settle();
	assert_int_equal(stat_of(tlb_flushes), 2);
	/* It is not read from the device's configuration each time. */
	assert_int_equal(vtd_ats_depth_reads, reads);
	for (dfn_t i = 0; i < 10; i++) {
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1 + 9 * i), 0);
		assert_false(vtd_translated_dma(VTD_DEVICE_0, 9 * i, &seen));
	}
	finish(false);
}

static void refuse(unsigned int type, unsigned int times)
{
	vtd_refuse_type = type;
	vtd_refusals = times;
}

static void forget(struct iommu_request *r)
{
	r->nr = 0;
}

static void submit_other(struct iommu_request *r, u16 did)
{
	*r = (struct iommu_request){ .desc = { qi_iotlb_domain(did) }, .nr = 1, .done = forget };
	list_init(&r->link);
	queue_submit(&iommu_units[0], r);
}

/* A device does not answer: only this device is quarantined, its pages are released when its
 * context entry is gone from the caches, and requests behind it in the queue complete. */
static void a_device_that_times_out(void **state)
{
	static struct iommu_request before, after[20];
	mfn_t seen;

	(void)state;
	start_ats(&plain, true);
	assert_int_equal(map(0, VTD_RAM_FIRST + 1, 64), 0);
	assert_true(vtd_translated_dma(VTD_DEVICE_0, 5, &seen));
	assert_true(vtd_translated_dma(VTD_DEVICE_0, 6, &seen));
	silent = true;
	submit_other(&before, 40);
	unmap(5, 1);
	unmap(6, 1);
	for (u16 i = 0; i < 20; i++)
		submit_other(&after[i], 41 + i);
	vtd_execute(0, ~0u);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 6), 1);
	/* The device behind the other unit is not affected. */
	vtd_device_answers = NULL;
	vtd_interrupts();
	run_work();
	assert_true(vtd_stopped[0]);
	assert_false(vtd_stopped[1]);
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_QUARANTINED);
	assert_int_equal(iommu_device_state(VTD_DEVICE_1), IOMMU_DEVICE_ATTACHED);
	assert_int_equal(quarantined, 1);
	assert_int_equal(told_owner, OWNER);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 6), 1); /* the device is not isolated yet */
	vtd_settle();
	assert_int_equal(before.nr, 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(after[i].nr, 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 6), 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 7), 0);
	assert_false(vtd_translated_dma(VTD_DEVICE_0, 7, &seen));
	assert_true(vtd_translated_dma(VTD_DEVICE_1, 7, &seen));
	/* Later unmaps do not wait for the device. */
	unmap(7, 1);
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 8), 0);
	assert_int_equal(stat_of(in_flight), 0);
	finish(true);
}

/* The queue is full when the first of two devices times out, and the stale copy of the second
 * device's invalidation is the last descriptor in it. The waits behind that are aborted too, so no
 * wait is left to report when its entries are free. */
static void time_outs_in_a_full_queue(void **state)
{
	static struct iommu_request others[81];
	struct iommu_domain *first, *second;
	struct pci_id dev = vtd_devices[4];

	(void)state;
	start_ats(&plain, false);
	first = d;
	assert_int_equal(frame_set(VTD_RAM_FIRST + (1UL << 18), ORDER_1G, FRAME_RAM, OWNER + 1), 0);
	assert_int_equal(iommu_domain_create(&second, OWNER + 1, "second", wake, NULL), 0);
	assert_int_equal(iommu_attach(second, dev, IOMMU_ATS), 0);
	vtd_settle();
	assert_int_equal(map(0, VTD_RAM_FIRST, 1), 0);
	d = second;
	assert_int_equal(map(0, VTD_RAM_FIRST + (1UL << 18), 1), 0);
	silent = true;
	d = first;
	unmap(0, 1);
	for (u16 i = 0; i < ARRAY_SIZE(others); i++)
		submit_other(&others[i], 100 + i);
	d = second;
	unmap(0, 1);
	d = first;
	vtd_settle();
	for (u32 i = 0; i < ARRAY_SIZE(others); i++)
		assert_int_equal(others[i].nr, 0);
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_QUARANTINED);
	assert_int_equal(iommu_device_state(dev), IOMMU_DEVICE_QUARANTINED);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + (1UL << 18)), 0);
	detach(dev);
	gone = false;
	iommu_domain_destroy(second, mark_gone, NULL);
	vtd_settle();
	assert_true(gone);
	finish(false);
}

static void hear_and_flush(u16 owner, struct pci_id dev, enum iommu_event event)
{
	hear(owner, dev, event);
	vtd_execute(0, ~0u);
	vtd_interrupts();
}

/* The device's last flush completes while its time-out is still being handled, as on another CPU:
 * what waits for its TLB is released after both. */
static void flushed_before_its_time_out_is_handled(void **state)
{
	(void)state;
	start_ats(&plain, false);
	iommu_set_event_hook(hear_and_flush);
	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	silent = true;
	unmap(1, 1);
	vtd_settle();
	assert_int_equal(quarantined, 1);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1), 0);
	assert_int_equal(stat_of(in_flight), 0);
	unmap(2, 1);
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 2), 0);
	finish(false);
}

/* A device times out while it is being detached. */
static void a_time_out_while_it_is_detached(void **state)
{
	(void)state;
	start_ats(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	silent = true;
	unmap(0, 1);
	detached = false;
	iommu_detach(VTD_DEVICE_0, mark_detached, NULL);
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_DETACHING);
	vtd_settle();
	assert_true(detached);
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_FREE);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	/* It is attached again, with an empty TLB. */
	silent = false;
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, IOMMU_ATS), 0);
	unmap(1, 1);
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1), 0);
	finish(false);
}

/* A device is detached while flushes of its TLB are in progress and queued. */
static void detached_with_flushes_under_way(void **state)
{
	(void)state;
	start_ats(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	for (dfn_t i = 0; i < 4; i++)
		unmap(i, 1);
	detached = false;
	iommu_detach(VTD_DEVICE_0, mark_detached, NULL);
	unmap(4, 1);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 4), 1);
	vtd_settle();
	assert_true(detached);
	for (u64 i = 0; i < 5; i++)
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + i), 0);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
	finish(false);
}

/* The unit refuses the device-TLB descriptor: this is handled like a time-out. */
static void the_unit_refuses_a_device_tlb_descriptor(void **state)
{
	mfn_t seen;

	(void)state;
	start_ats(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	assert_true(vtd_translated_dma(VTD_DEVICE_0, 1, &seen));
	refuse(QI_TYPE_DEVICE_TLB, 1);
	unmap(1, 1);
	vtd_settle();
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_QUARANTINED);
	assert_false(vtd_translated_dma(VTD_DEVICE_0, 1, &seen));
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1), 0);
	finish(false);
}

/* Any other refused descriptor is posted again, once. */
static void the_unit_refuses_another_descriptor(void **state)
{
	(void)state;
	start_ats(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	refuse(QI_TYPE_IOTLB, 1);
	unmap(1, 1);
	vtd_settle();
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_ATTACHED);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1), 0);
	refuse(QI_TYPE_WAIT, 1);
	unmap(2, 1);
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 2), 0);
	finish(false);
}

/* A unit that stops processing its queue: nothing is released, no caller blocks, and nothing
 * crashes. */
static void a_dead_queue_releases_nothing(void **state)
{
	(void)state;
	start_ats(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	unmap(1, 1);
	refuse(QI_TYPE_IOTLB, 2);
	vtd_settle();
	assert_true(iommu_units[0].queue.stuck);
	unmap(2, 1);
	vtd_settle();
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1), 1);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 2), 1);

	/* Faults are reported all the same. */
	for (u64 n = 1; n <= 2; n++) {
		vtd_record_fault(&vtd_units[0], VTD_DEVICE_0.bdf, 2, true, 5);
		vtd_settle();
		assert_int_equal(stat_of(write_faults), n);
	}

	/* For the next test: the unit works again. */
	iommu_units[0].queue.bad_slot = ~0u;
	queue_error(&iommu_units[0], FSTS_IQE);
	finish(false);
}

static void faults_without_end(void **state)
{
	char name[32];

	(void)state;
	start_ats(&plain, true);
	for (int i = 0; i < 500; i++)
		assert_int_equal(quarantine_count_fault(VTD_DEVICE_0, WEIR_FAULT_WRITE, name,
							sizeof(name)),
				 OWNER);
	assert_string_equal(name, "test");
	assert_int_equal(stat_of(write_faults), 500);
	assert_int_equal(quarantined, 0);
	for (int i = 0; i < 5000; i++)
		(void)quarantine_count_fault(VTD_DEVICE_0, WEIR_FAULT_WRITE, name, sizeof(name));
	assert_int_equal(quarantined, 1);
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_QUARANTINED);
	assert_int_equal(quarantine_count_fault((struct pci_id){ 0, 0x1234 }, WEIR_FAULT_WRITE,
						name, sizeof(name)),
			 OWNER_NONE);
	assert_string_equal(name, "no domain");
	vtd_settle();
	finish(true);
}

static bool reserved_is_mapped(dfn_t i)
{
	u64 entry[5];
	mfn_t mfn;
	unsigned int n = iommu_walk_owner(OWNER, VTD_RESERVED_FIRST + i, entry, &mfn);

	return n && mfn == VTD_RESERVED_FIRST + i && !is_tombstone(entry[n - 1]);
}

/* The firmware's region is mapped exactly as long as one of its devices is attached. */
static void reserved_memory(void **state)
{
	struct pci_id one = VTD_RESERVED_DEVICE(0), two = VTD_RESERVED_DEVICE(1);

	(void)state;
	start_ats(&plain, false);
	assert_non_null(iommu_why_not(one, false));
	assert_null(iommu_why_not(one, true));
	assert_int_equal(iommu_attach(d, one, 0), 0);
	assert_int_equal(iommu_attach(d, two, 0), 0);
	assert_true(reserved_is_mapped(0) && reserved_is_mapped(VTD_RESERVED_FRAMES - 1));
	assert_false(reserved_is_mapped(VTD_RESERVED_FRAMES));
	detach(one);
	assert_true(reserved_is_mapped(5));
	detach(two);
	assert_false(reserved_is_mapped(5));
	/* Again, with all batches busy when the device is detached: the region is unmapped
	 * later. */
	assert_int_equal(iommu_attach(d, one, 0), 0);
	assert_int_equal(map(0, VTD_RAM_FIRST, 100), 0);
	for (dfn_t i = 0; i < BATCHES_PER_DOMAIN; i++)
		unmap(i, 1);
	detach(one);
	assert_false(reserved_is_mapped(5));
	finish(false);
}

/* With no free batch the region waits for one, and no work is done meanwhile: a CPU that has work
 * enters no guest. */
static void reserved_memory_waits_for_a_batch(void **state)
{
	struct iommu_gather g[BATCHES_PER_DOMAIN];
	struct pci_id dev = VTD_RESERVED_DEVICE(0);
	unsigned int steps = 0;

	(void)state;
	start(&plain, false);
	assert_int_equal(iommu_attach(d, dev, 0), 0);
	vtd_settle();
	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++)
		assert_int_equal(iommu_gather_begin(&g[i], d), 0);
	detached = false;
	iommu_detach(dev, mark_detached, NULL);
	vtd_execute(1, ~0u);
	vtd_interrupts();
	while (vtd_work())
		assert_true(++steps < 100);
	assert_false(detached);
	assert_int_equal(iommu_device_state(dev), IOMMU_DEVICE_DETACHING);
	iommu_gather_commit(&g[0], 0);
	run_work();
	assert_true(detached);
	for (unsigned int i = 1; i < BATCHES_PER_DOMAIN; i++)
		iommu_gather_commit(&g[i], 0);
	vtd_settle();
	assert_false(reserved_is_mapped(5));
	finish(false);
}

/* Region n of one device and region n of the other fill a block of 2 MiB together. */
#define SHARED_BLOCKS 6u

static void share_blocks(void)
{
	struct dmar_scope of[2] = { iommu_dmar.reserved[0].device, iommu_dmar.reserved[1].device };

	iommu_dmar.nr_reserved = 2 * SHARED_BLOCKS;
	for (u32 i = 0; i < 2 * SHARED_BLOCKS; i++) {
		paddr_t first = (VTD_RESERVED_FIRST + 1024 * (i / 2) + (i % 2 ? 77 : 0))
				<< PAGE_SHIFT;

		iommu_dmar.reserved[i] = (struct dmar_reserved){
			.first = first,
			.last = first + ((i % 2 ? 512 - 77UL : 77UL) << PAGE_SHIFT) - 1,
			.device = of[i % 2],
		};
	}
}

/* One detach unmaps all regions of a device, and needs no memory for it. */
static void ragged_reserved_regions(void **state)
{
	struct pci_id one = VTD_RESERVED_DEVICE(0), two = VTD_RESERVED_DEVICE(1);

	(void)state;
	start(&plain, false);
	share_blocks();
	assert_int_equal(iommu_attach(d, one, 0), 0);
	assert_int_equal(iommu_attach(d, two, 0), 0);
	for (u32 i = 0; i < SHARED_BLOCKS; i++)
		assert_true(reserved_is_mapped(1024UL * i) && reserved_is_mapped(1024UL * i + 77));
	detach(one);
	for (u32 i = 0; i < SHARED_BLOCKS; i++) {
		assert_false(reserved_is_mapped(1024UL * i + 76));
		assert_true(reserved_is_mapped(1024UL * i + 77));
		assert_true(reserved_is_mapped(1024UL * i + 511));
	}
	detach(two);
	for (u32 i = 0; i < SHARED_BLOCKS; i++)
		assert_false(reserved_is_mapped(1024UL * i + 77));
	finish(false);
}

/* Two devices have regions that begin alike and differ in length. */
static void regions_with_the_same_start(void **state)
{
	paddr_t first = (paddr_t)VTD_RESERVED_FIRST << PAGE_SHIFT;

	(void)state;
	start(&plain, false);
	for (u32 i = 0; i < 2; i++) {
		iommu_dmar.reserved[i].first = first;
		iommu_dmar.reserved[i].last = first + ((i ? 8UL : 4UL) << PAGE_SHIFT) - 1;
	}
	assert_int_equal(iommu_attach(d, VTD_RESERVED_DEVICE(1), 0), 0);
	assert_true(reserved_is_mapped(0) && reserved_is_mapped(7));
	assert_false(reserved_is_mapped(8));
	detach(VTD_RESERVED_DEVICE(1));
	assert_false(reserved_is_mapped(0) || reserved_is_mapped(7));
	assert_int_equal(iommu_attach(d, VTD_RESERVED_DEVICE(0), 0), 0);
	assert_true(reserved_is_mapped(0) && reserved_is_mapped(3));
	assert_false(reserved_is_mapped(4));
	detach(VTD_RESERVED_DEVICE(0));
	finish(false);
}

static bool no_memory(unsigned int order)
{
	(void)order;
	return true;
}

static unsigned int fail_in;

static bool fails_once(unsigned int order)
{
	(void)order;
	return fail_in && !--fail_in;
}

/* Whatever fails on the way, no part of the region stays mapped. */
static void reserved_memory_on_error_paths(void **state)
{
	struct pci_id one = VTD_RESERVED_DEVICE(0);
	unsigned int n = 0, held_back = 0;
	int ret;
	IOMMU_GATHER(g);

	(void)state;
	start_ats(&plain, false);
	/* The last page is already mapped to something else. */
	assert_int_equal(map(VTD_RESERVED_FIRST + VTD_RESERVED_FRAMES - 1, VTD_RAM_FIRST, 1), 0);
	assert_int_equal(iommu_attach(d, one, 0), -EEXIST);
	vtd_settle();
	assert_false(reserved_is_mapped(5));
	unmap(VTD_RESERVED_FIRST + VTD_RESERVED_FRAMES - 1, 1);
	vtd_settle();
	/* No batch is available; no memory for tables. */
	assert_int_equal(map(0, VTD_RAM_FIRST, 100), 0);
	for (dfn_t i = 0; i < BATCHES_PER_DOMAIN; i++)
		unmap(i, 1);
	assert_int_equal(iommu_attach(d, one, 0), -EAGAIN);
	vtd_settle();
	alloc_fail_hook = no_memory;
	assert_true(iommu_attach(d, one, 0) == -ENOMEM);
	alloc_fail_hook = NULL;
	vtd_settle();
	assert_false(reserved_is_mapped(5));
	/* The allocation for the context entry fails when the reserved memory is already mapped:
	 * the region is unmapped first, then the device can be attached. */
	do {
		fail_in = ++n;
		alloc_fail_hook = fails_once;
		ret = iommu_attach(d, one, 0);
		alloc_fail_hook = NULL;
		if (ret && iommu_device_state(one) != IOMMU_DEVICE_FREE) {
			assert_int_equal(iommu_attach(d, one, 0), -EAGAIN);
			held_back++;
		}
		vtd_settle();
	} while (ret);
	assert_true(n > 1 && held_back);
	detach(one);
	assert_false(reserved_is_mapped(5));
	/* RAM that the firmware declares reserved is refused, since it may belong to a domain. */
	assert_int_equal(frame_set(VTD_RESERVED_FIRST + 3, 0, FRAME_RAM, OWNER), 0);
	assert_int_equal(iommu_attach(d, one, 0), -EPERM);
	vtd_settle();
	assert_false(reserved_is_mapped(0));
	assert_int_equal(iommu_device_state(one), IOMMU_DEVICE_FREE);
	assert_int_equal(iommu_gather_begin(&g, d), 0);
	assert_int_equal(iommu_map(&g, 0, VTD_RAM_FIRST, 1, RW | IOMMU_NOT_RAM), -EPERM);
	iommu_gather_commit(&g, 0);
	finish(false);
}

/* Its domain ends before the reserved memory of a device that could not be attached is unmapped. */
static void a_domain_ends_after_a_failed_attach(void **state)
{
	struct pci_id one = VTD_RESERVED_DEVICE(0);
	unsigned int held_back = 0;
	int ret = -ENOMEM;

	(void)state;
	for (unsigned int n = 1; ret; n++) {
		assert_true(vtd_start(&plain));
		assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
		fail_in = n;
		alloc_fail_hook = fails_once;
		ret = iommu_attach(d, one, 0);
		alloc_fail_hook = NULL;
		if (!ret)
			detach(one);
		held_back += iommu_device_state(one) != IOMMU_DEVICE_FREE;
		gone = false;
		iommu_domain_destroy(d, mark_gone, NULL);
		vtd_settle();
		assert_true(gone);
		vtd_stop();
	}
	assert_true(held_back);
}

static void refusals(void **state)
{
	static const struct vtd_config no_dt = { .ecap_clear = ECAP_DT };

	(void)state;
	assert_true(vtd_start(&no_dt));
	assert_int_equal(iommu_domain_create(&d, OWNER, "test", wake, NULL), 0);
	assert_non_null(iommu_why_no_ats(VTD_DEVICE_0));
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, IOMMU_ATS), -ENODEV);
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, 0), 0);
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_dead_link),
		cmocka_unit_test(a_link_that_dies_meanwhile),
		cmocka_unit_test(a_link_that_comes_back),
		cmocka_unit_test(a_virtual_function_asks_in_its_name),
		cmocka_unit_test(a_device_tlb_holds_the_page),
		cmocka_unit_test(attached_with_a_flush_under_way),
		cmocka_unit_test(ranges_of_all_sizes),
		cmocka_unit_test(a_slow_device_is_asked_once_at_a_time),
		cmocka_unit_test(a_device_that_times_out),
		cmocka_unit_test(time_outs_in_a_full_queue),
		cmocka_unit_test(flushed_before_its_time_out_is_handled),
		cmocka_unit_test(a_time_out_while_it_is_detached),
		cmocka_unit_test(detached_with_flushes_under_way),
		cmocka_unit_test(the_unit_refuses_a_device_tlb_descriptor),
		cmocka_unit_test(the_unit_refuses_another_descriptor),
		cmocka_unit_test(a_dead_queue_releases_nothing),
		cmocka_unit_test(faults_without_end),
		cmocka_unit_test(reserved_memory),
		cmocka_unit_test(reserved_memory_on_error_paths),
		cmocka_unit_test(ragged_reserved_regions),
		cmocka_unit_test(regions_with_the_same_start),
		cmocka_unit_test(reserved_memory_waits_for_a_batch),
		cmocka_unit_test(a_domain_ends_after_a_failed_attach),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
