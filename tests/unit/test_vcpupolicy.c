/* sources: */
/* What a guest sees of processors that differ: CPUID's answers fit each other, and Weir touches no
 * register that the processor does not have. */
#include "test.h"

#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/pveoi.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>

/* --- a processor ---------------------------------------------------------- */

static bool has_rdtscp;
static u32 tsc_aux_writes;

static struct cpuid test_cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r = { 0, 0, 0, 0 };

	(void)subleaf;
	if (leaf == 0x80000000)
		r.eax = 0x80000008;
	else if (leaf == 0x80000001 && has_rdtscp)
		r.edx = CPUID80000001_EDX_RDTSCP;
	return r;
}

static void test_wrmsr(u32 msr, u64 value)
{
	(void)value;
	assert_int_equal(msr, MSR_TSC_AUX);
	if (!has_rdtscp)
		fail_msg("a write to TSC_AUX, which this processor does not have");
	tsc_aux_writes++;
}

#define cpuid(leaf, subleaf) test_cpuid(leaf, subleaf)
#define wrmsr(msr, value) test_wrmsr(msr, value)
#include <kernel/guest/vcpu/cpuid.c>
#include <kernel/guest/vcpu/msr.c>
#undef cpuid
#undef wrmsr

/* --- what the policies call ----------------------------------------------- */

static struct vcpu_mode mode_now;

static void mode(const struct vcpu *v, struct vcpu_mode *m)
{
	(void)v;
	*m = mode_now;
}

static const struct vcpu_backend backend = { .mode = mode };
const struct vcpu_backend *vcpu_backend = &backend;

u64 clock_tsc_hz(void)
{
	return 2000000000;
}

struct cpuid kvmclock_cpuid(u32 leaf)
{
	(void)leaf;
	return (struct cpuid){ 0, 0, 0, 0 };
}

u64 kvmclock_read_msr(const struct vcpu *v, u32 msr)
{
	(void)v, (void)msr;
	return 0;
}

int kvmclock_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	(void)v, (void)msr, (void)value;
	return 0;
}

void kvmclock_update(struct vcpu *v)
{
	(void)v;
}

int pveoi_write_msr(struct vcpu *v, u64 value)
{
	(void)v, (void)value;
	return 0;
}

int vlapic_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
	(void)v, (void)msr, (void)value;
	return -EINVAL;
}

int vlapic_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	(void)v, (void)msr, (void)value;
	return -EINVAL;
}

/* --- tests ---------------------------------------------------------------- */

static struct vm vm;
static struct vcpu vcpu;

static void begin(void)
{
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.vm = &vm;
	vm.nr_vcpus = 1;
	tsc_aux_writes = 0;
}

/* TSC_AUX is there if CPUID has RDTSCP, for the guest as for Weir. */
static void tsc_aux(void **state)
{
	u64 value = 1;

	(void)state;
	begin();
	has_rdtscp = false;
	assert_false(policy_cpuid(&vcpu, 0x80000001, 0).edx & CPUID80000001_EDX_RDTSCP);
	assert_int_equal(policy_wrmsr(&vcpu, MSR_TSC_AUX, 5), -EINVAL);
	assert_int_equal(policy_rdmsr(&vcpu, MSR_TSC_AUX, &value), -EINVAL);
	assert_int_equal(vcpu.absent_msrs, 2);
	assert_int_equal(vcpu.tsc_aux, 0);

	has_rdtscp = true;
	assert_true(policy_cpuid(&vcpu, 0x80000001, 0).edx & CPUID80000001_EDX_RDTSCP);
	assert_int_equal(policy_wrmsr(&vcpu, MSR_TSC_AUX, 5), 0);
	assert_int_equal(policy_rdmsr(&vcpu, MSR_TSC_AUX, &value), 0);
	assert_int_equal(value, 5);
	assert_int_equal(tsc_aux_writes, 1);
	assert_int_equal(policy_wrmsr(&vcpu, MSR_TSC_AUX, 1UL << 32), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tsc_aux),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
