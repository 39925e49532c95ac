/* Bugs of other hypervisors in flushes (missing, too early, suppressed) and in waiting for them.
 * Each test says what went wrong there and what would be observed here.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#include <iommu/entry.h>
#include <iommu/queueerror.h>

static mfn_t reached;

/* The device uses new mappings immediately. */
static void use_at_once(void)
{
	mfn_t seen;

	for (dfn_t i = 0; i < 4; i++)
		if (vtd_dma(VTD_DEVICE_0, 100 + i, &seen))
			reached = seen;
}

/* XSA-80: an error path left the flag set that suppresses flushes. Here a mapping fails half-way,
 * after the device has used its first half: those frames stay referenced until the flush, and so do
 * the frames that the same gather unmapped before. */
static void an_error_path_is_flushed_too(void **state)
{
	const mfn_t end = VTD_RAM_FIRST + (2UL << 18);
	IOMMU_GATHER(g);
	mfn_t seen;

	(void)state;
	start(&plain, false);
	assert_int_equal(map(5, VTD_RAM_FIRST, 2), 0);
	assert_int_equal(map(104, VTD_RAM_FIRST + 3, 1), 0);
	assert_true(vtd_dma(VTD_DEVICE_0, 5, &seen));

	reached = 0;
	vtd_before_write_back = use_at_once;
	assert_int_equal(iommu_gather_begin(&g, d), 0);
	iommu_unmap(&g, 5, 1);
	assert_int_equal(iommu_map(&g, 100, end - 4, 8, RW), -EEXIST);
	assert_int_equal(iommu_map(&g, 200, VTD_RAM_FIRST + 4, 1, RW), 0);
	iommu_gather_commit(&g, 1);
	vtd_before_write_back = NULL;
	assert_int_equal(reached, end - 1);
	assert_true(vtd_dma(VTD_DEVICE_0, 5, &seen));
	assert_true(vtd_dma(VTD_DEVICE_0, 103, &seen));
	for (mfn_t m = end - 4; m < end; m++)
		assert_int_equal(frame_dev_refs(m), 1);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 1);
	vtd_settle();
	vtd_check();
	for (mfn_t m = end - 4; m < end; m++)
		assert_int_equal(frame_dev_refs(m), 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	assert_false(vtd_dma(VTD_DEVICE_0, 5, &seen));
	assert_false(vtd_dma(VTD_DEVICE_0, 103, &seen));
	assert_true(vtd_dma(VTD_DEVICE_0, 200, &seen));
	finish(false);
}

/* In Linux, a gather that found nothing to unmap left its range at "from all ones to 0", and the
 * flush was lost. Here ranges that are empty, have length 0 or lie beyond the address width come
 * before, after and without a range that is mapped. */
static void ranges_with_nothing_in_them(void **state)
{
	struct weir_stats s = { 0 };
	IOMMU_GATHER(g);
	mfn_t seen;

	(void)state;
	start(&plain, false);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(map(700, VTD_RAM_FIRST + 700, 3), 0);
		assert_true(vtd_dma(VTD_DEVICE_0, 701, &seen));
		assert_int_equal(iommu_gather_begin(&g, d), 0);
		if (round == 0)
			iommu_unmap(&g, 701, 1);
		iommu_unmap(&g, 50, 3);
		iommu_unmap(&g, 60, 0);
		iommu_unmap(&g, frames_of(5), 4);
		iommu_unmap(&g, frames_of(5) - 1, 4);
		iommu_unmap(&g, 9, ~0UL);
		iommu_unmap(&g, 1UL << 30, 1UL << 18);
		if (round == 1)
			iommu_unmap(&g, 701, 1);
		iommu_gather_commit(&g, round < 2);
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 701), 1);
		vtd_settle();
		assert_int_equal(vtd_dma(VTD_DEVICE_0, 701, &seen), round == 2);
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 701), round == 2);
		iommu_domain_stats(d, &s);
		assert_int_equal(s.batches_in_flight, 0);
		unmap(700, 3);
		vtd_settle();
	}
	finish(false);
}

static int steps;

static enum step count_step(struct iommu_batch *b)
{
	(void)b;
	steps++;
	return STEP_DONE;
}

/* XSA-346: flushes were deferred, but pages were freed before them. Here the caller's frames wait
 * for their own batch, however many later batches complete before it; and a batch that changed no
 * entry completes without a flush. */
static void pages_wait_for_their_own_batch(void **state)
{
	struct weir_stats s = { 0 };
	IOMMU_GATHER(first);
	IOMMU_GATHER(none);
	struct iommu_batch *b;
	mfn_t seen;

	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 64), 0);
	assert_true(vtd_dma(VTD_DEVICE_0, 3, &seen));
	steps = 0;
	assert_int_equal(iommu_gather_begin(&first, d), 0);
	iommu_unmap(&first, 3, 1);
	iommu_gather_user(&first)->step = count_step;
	b = iommu_gather_expect(&first); /* a CPU */
	for (dfn_t i = 4; i < 13; i++)
		unmap(i, 1);
	unmap(0, 14);
	vtd_settle();
	/* The ten batches after it are complete, and their flushes covered their own ranges only;
	 * the first gather is not committed yet. */
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 13), 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 3), 1);
	iommu_gather_commit(&first, 1);
	vtd_settle();
	assert_int_equal(steps, 0);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 3), 1);
	iommu_batch_answer(b);
	vtd_settle();
	assert_int_equal(steps, 1);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 3), 0);

	iommu_domain_stats(d, &s);
	assert_int_equal(iommu_gather_begin(&none, d), 0);
	iommu_gather_user(&none)->step = count_step;
	iommu_gather_commit(&none, 0);
	while (vtd_work())
		;
	assert_int_equal(steps, 2);
	assert_int_equal(iommu_units[0].queue.nr_posted, iommu_units[0].queue.completed);
	finish(false);
}

/* A page's table, of any level, is unmapped as a whole while the page waits for its own batch: with
 * and without a neighbour, which decides who looks. */
static void pages_wait_below_a_table(void **state)
{
	(void)state;
	start(&plain, false);
	for (unsigned int order = 9; order <= 27; order += 9) {
		for (u64 neighbour = 0; neighbour < 2; neighbour++) {
			dfn_t dfn = 2UL << 27, next = dfn + BIT(order);
			struct iommu_batch *b;
			IOMMU_GATHER(first);

			assert_int_equal(map(dfn + 5, VTD_RAM_FIRST, 2), 0);
			if (neighbour)
				assert_int_equal(map(next, VTD_RAM_FIRST + 9, 1), 0);
			assert_int_equal(iommu_gather_begin(&first, d), 0);
			iommu_unmap(&first, dfn + 5, 1);
			b = iommu_gather_expect(&first); /* a CPU */
			iommu_gather_commit(&first, 1);
			unmap(dfn, BIT(order));
			vtd_settle();
			assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 1);
			assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 1), 0);
			iommu_batch_answer(b);
			vtd_settle();
			assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
			if (neighbour)
				unmap(next, 1);
			vtd_settle();
		}
	}
	finish(false);
}

/* --- waiting -------------------------------------------------------------- */

static bool one_is_silent;

static enum vtd_answer answers(u16 bdf)
{
	return one_is_silent && bdf == VTD_DEVICE_0.bdf ? VTD_SILENT : VTD_ANSWERS;
}

static void run_work(void)
{
	while (vtd_work())
		;
}

/* XSA-373: after a time-out a wait's status slot was reused while the old wait could still write to
 * it, and a later wait was taken for completed. Here a device does not answer, and waits of others
 * are behind it in the queue: what they wait for stays referenced until they have been posted again
 * and completed, whatever the status word says meanwhile. */
static void waits_behind_a_time_out(void **state)
{
	const struct pci_id innocent = vtd_devices[4]; /* behind the same unit */
	mfn_t seen;

	(void)state;
	start_with(&plain, false, IOMMU_ATS);
	assert_int_equal(iommu_attach(d, innocent, IOMMU_ATS), 0);
	one_is_silent = false;
	vtd_device_answers = answers;
	for (int round = 0; round < 20; round++) {
		assert_int_equal(map(0, VTD_RAM_FIRST, 16), 0);
		for (dfn_t i = 0; i < 16; i++) {
			assert_true(vtd_translated_dma(VTD_DEVICE_0, i, &seen));
			assert_true(vtd_translated_dma(innocent, i, &seen));
		}
		one_is_silent = true;
		for (dfn_t i = 0; i < 8; i++)
			unmap(i, 1);
		vtd_execute(0, ~0u); /* until the time-out */
		run_work();
		for (dfn_t i = 0; i < 8; i++)
			assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + i), 1);
		vtd_interrupts(); /* everything is posted again */
		run_work();
		vtd_check();
		assert_true(vtd_translated_dma(innocent, 7, &seen));
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + 7), 1);
		vtd_settle();
		for (dfn_t i = 0; i < 8; i++) {
			assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + i), 0);
			assert_false(vtd_translated_dma(innocent, i, &seen));
			assert_false(vtd_translated_dma(VTD_DEVICE_0, i, &seen));
		}
		assert_true(vtd_translated_dma(innocent, 8, &seen));
		detach(VTD_DEVICE_0);
		one_is_silent = false;
		unmap(0, 16);
		vtd_settle();
		assert_int_equal(iommu_attach(d, VTD_DEVICE_0, IOMMU_ATS), 0);
	}
	detach(innocent);
	finish(false);
}

/* The same class of bug: the numbers that waits write are 32 bits wide and wrap to 0. */
static void numbers_of_waits_come_round(void **state)
{
	struct iommu_queue *q = &iommu_units[0].queue;

	(void)state;
	start(&plain, false);
	assert_int_equal(map(0, VTD_RAM_FIRST, 64), 0);
	q->sequence = 0xfffffffa;
	*q->status = 0xfffffffa;
	for (dfn_t i = 0; i < 12; i++)
		unmap(i, 1);
	assert_true(q->sequence < 16);
	vtd_interrupts();
	run_work();
	for (dfn_t i = 0; i < 12; i++)
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + i), 1);
	for (dfn_t i = 0; i < 12; i++) {
		vtd_execute(0, 3);
		vtd_interrupts();
		run_work();
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + i), 0);
		for (dfn_t k = i + 1; k < 12; k++)
			assert_int_equal(frame_dev_refs(VTD_RAM_FIRST + k), 1);
	}
	finish(false);
}

/* Elsewhere, a unit wrote a status word on a waiter's stack after the waiter had timed out and
 * returned. Here the status word belongs to the queue, but a request during initialization is on
 * the stack: when it times out, nothing may refer to it any more, in case the unit answers
 * later. */
static void a_unit_that_answers_when_nobody_waits_any_more(void **state)
{
	struct iommu_queue *q = &iommu_units[0].queue;
	struct iommu_request r = { .nr = 1 };

	(void)state;
	assert_true(vtd_start(&plain));
	r.desc[0] = qi_iotlb_global();
	list_init(&r.link);
	vtd_refuse_type = QI_TYPE_IOTLB;
	vtd_refusals = 2;
	vtd_whims = true; /* time passes faster */
	assert_int_equal(queue_submit_and_sleep(&iommu_units[0], &r), -ETIMEDOUT);
	vtd_whims = false;
	assert_true(list_empty(&q->posted) && list_empty(&q->waiting));
	memset(&r, 0xff, sizeof(r));
	vtd_refusals = 0;
	queue_error(&iommu_units[0], FSTS_IQE);
	vtd_settle();
	vtd_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_path_is_flushed_too),
		cmocka_unit_test(ranges_with_nothing_in_them),
		cmocka_unit_test(pages_wait_for_their_own_batch),
		cmocka_unit_test(pages_wait_below_a_table),
		cmocka_unit_test(waits_behind_a_time_out),
		cmocka_unit_test(numbers_of_waits_come_round),
		cmocka_unit_test(a_unit_that_answers_when_nobody_waits_any_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
