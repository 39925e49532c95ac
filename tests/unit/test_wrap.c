/* Time-outs where the numbers of waits wrap. The numbers have 32 bits; each test runs with the wrap
 * at each place of what happens.
 *
 * sources: $(IOMMU_SRCS)
 * libs: $(IOMMU_LIBS)
 */
#include <tests/unit/iommu_fixture.h>

#include <iommu/descriptor.h>
#include <iommu/unit.h>

#define MOST 81u /* requests that fill the ring, behind the two of an unmapping */
#define FIRST_DID 100u /* of domains whose entries the requests flush, and that do not exist */

static struct iommu_request other[MOST];
static u32 nr_others, nr_done;
static u32 carried_out[MOST]; /* by request: how often the unit has carried it out */
static u32 asked; /* how often the device was asked */

static enum vtd_answer silent(u16 bdf)
{
	assert_int_equal(bdf, VTD_DEVICE_0.bdf);
	asked++;
	return VTD_SILENT;
}

/* The old copy of a request completes none: its number is lower. */
static void other_done(struct iommu_request *r)
{
	assert_int_equal(r - other, nr_done++);
	assert_int_equal(carried_out[r - other], 2);
}

static void submit_others(u32 nr)
{
	memset(carried_out, 0, sizeof(carried_out));
	nr_others = nr;
	nr_done = 0;
	for (u32 i = 0; i < nr; i++) {
		other[i] = (struct iommu_request){ .nr = 1, .done = other_done };
		other[i].desc[0] = qi_iotlb_domain((u16)(FIRST_DID + i));
		list_init(&other[i].link);
		queue_submit(&iommu_units[0], &other[i]);
	}
}

/* Unit 0 takes one descriptor, and all interrupts are served at once. False: nothing is left. */
static bool step(void)
{
	bool any;

	vtd_last_iotlb[0] = 0;
	any = vtd_execute(0, 1);
	if (FIELD_GET(QI_DID, vtd_last_iotlb[0]) >= FIRST_DID)
		carried_out[FIELD_GET(QI_DID, vtd_last_iotlb[0]) - FIRST_DID]++;
	any |= vtd_interrupts();
	while (vtd_work())
		any = true;
	return any;
}

/* Of this many requests behind a device-TLB invalidation, whose device does not answer, and of the
 * IOTLB's before it, the first has this number. */
static void time_out(u32 number, u32 nr)
{
	struct iommu_queue *q = &iommu_units[0].queue;

	assert_int_equal(map(0, VTD_RAM_FIRST, 8), 0);
	vtd_settle();
	assert_true(list_empty(&q->posted) && list_empty(&q->waiting) && !q->stale && !q->used);
	q->sequence = number - 1;
	*q->status = number - 1;
	asked = 0;
	unmap(0, 1);
	submit_others(nr);
	while (!asked)
		assert_true(vtd_execute(0, 1));
	assert_int_equal(q->sequence, number + 1 + nr);
}

/* All requests are done, and the device is not asked again. */
static void recover(void)
{
	while (step())
		;
	assert_int_equal(nr_done, nr_others);
	assert_int_equal(asked, 1);
	assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_QUARANTINED);
	assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 0);
	detach(VTD_DEVICE_0);
	unmap(1, 7);
	vtd_settle();
	assert_int_equal(iommu_attach(d, VTD_DEVICE_0, IOMMU_ATS), 0);
	vtd_settle();
}

static void begin(void)
{
	start_with(&plain, false, IOMMU_ATS);
	vtd_device_answers = silent;
}

/* The request that timed out is found: it fails, and its device is quarantined. */
static void the_one_that_timed_out(void **state)
{
	(void)state;
	begin();
	for (u32 i = 0; i < 6; i++) {
		time_out(i - 4, 0);
		assert_true(step()); /* the interrupt */
		assert_int_equal(iommu_device_state(VTD_DEVICE_0), IOMMU_DEVICE_QUARANTINED);
		assert_int_equal(frame_dev_refs(VTD_RAM_FIRST), 1);
		recover();
	}
	finish(false);
}

/* What is behind it is taken back from the ring and posted again, in order. */
static void the_ones_taken_back(void **state)
{
	(void)state;
	begin();
	for (u32 i = 0; i < 16; i++) {
		time_out(i - 12, 4);
		recover();
	}
	finish(false);
}

/* The ring is full of old copies, whose entries are free when the unit is past them, not before and
 * not never. */
static void a_ring_of_old_copies(void **state)
{
	(void)state;
	begin();
	for (u32 i = 0; i < 180; i = i % 83 < 4 ? i + 1 : i + 13) {
		time_out(i - 178, MOST);
		recover();
	}
	finish(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_one_that_timed_out),
		cmocka_unit_test(the_ones_taken_back),
		cmocka_unit_test(a_ring_of_old_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
