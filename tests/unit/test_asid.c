/* ASIDs: a vCPU never finds TLB entries of another one, or its own from before a flush; and it
 * keeps its ASID while nothing has to be flushed.
 * sources: kernel/guest/vcpu/svm/asid.c
 */
#include "test.h"

#include <kernel/guest/vcpu/svm/asid.h>

#define NR_CPUS 3
#define NR_VCPUS 6
#define NR_ASIDS 5 /* the first is the host's */

static struct svm_cpu processors[NR_CPUS];
static struct svm_vcpu vcpus[NR_VCPUS];
static struct vmcb vmcbs[NR_VCPUS];
static u64 epoch[NR_VCPUS]; /* counts what was flushed */

/* Each TLB has the entries of one vCPU per ASID, as they were in one epoch. */
static struct {
	bool any;
	u32 vcpu;
	u64 epoch;
} tlb[NR_CPUS][NR_ASIDS];

static void begin(void)
{
	memset(vcpus, 0, sizeof(vcpus));
	memset(vmcbs, 0, sizeof(vmcbs));
	memset(tlb, 0, sizeof(tlb));
	for (u32 c = 0; c < NR_CPUS; c++)
		processors[c] = (struct svm_cpu){ .asid_generation = svm_first_asid_generation(c),
						  .next_asid = 1,
						  .nr_asids = NR_ASIDS };
	for (u32 v = 0; v < NR_VCPUS; v++)
		vcpus[v].vmcb = &vmcbs[v];
}

/* Returns the ASID. */
static u32 enter(u32 v, u32 c)
{
	const struct vmcb *vmcb = &vmcbs[v];

	svm_assign_asid(&vcpus[v], &processors[c]);
	assert_in_range(vmcb->asid, 1, NR_ASIDS - 1);
	if (vmcb->tlb_control == TLB_CONTROL_FLUSH_ALL)
		memset(tlb[c], 0, sizeof(tlb[c]));
	if (tlb[c][vmcb->asid].any) {
		assert_int_equal(tlb[c][vmcb->asid].vcpu, v);
		assert_int_equal(tlb[c][vmcb->asid].epoch, epoch[v]);
	}
	tlb[c][vmcb->asid].any = true;
	tlb[c][vmcb->asid].vcpu = v;
	tlb[c][vmcb->asid].epoch = epoch[v];
	return vmcb->asid;
}

static void nobody_finds_old_entries(void **state)
{
	(void)state;
	begin();
	for (u32 i = 0; i < 200000; i++) {
		u32 v = (u32)rand() % NR_VCPUS;

		if (rand() % 8 == 0) {
			svm_flush_asid(&vcpus[v]);
			epoch[v]++;
		}
		/* Mostly on its own CPU, sometimes on another. */
		(void)enter(v, rand() % 16 ? v % NR_CPUS : (u32)rand() % NR_CPUS);
	}
}

static void an_asid_is_kept_while_it_is_valid(void **state)
{
	u32 first, second;

	(void)state;
	begin();
	first = enter(0, 0);
	second = enter(1, 0);
	for (u32 i = 0; i < 10; i++) {
		assert_int_equal(enter(0, 0), first);
		assert_int_equal(enter(1, 0), second);
		assert_int_equal(vmcbs[1].tlb_control, TLB_CONTROL_NOTHING);
	}
	/* Another CPU has ASIDs and generations of its own. */
	(void)enter(0, 1);
	assert_true(enter(0, 0) != first);
	svm_flush_asid(&vcpus[1]);
	assert_true(enter(1, 0) != second);
	/* They are used up: the next one flushes all, and all get new ones. */
	svm_flush_asid(&vcpus[1]);
	assert_int_equal(enter(1, 0), 1);
	assert_int_equal(vmcbs[1].tlb_control, TLB_CONTROL_FLUSH_ALL);
	assert_int_equal(enter(0, 0), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_finds_old_entries),
		cmocka_unit_test(an_asid_is_kept_while_it_is_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
