/* sources: */
/* The choice of a back end: each CPU is looked at by itself. */
#include "test.h"

#include <kernel/core/cpu.h>
#include <kernel/core/paging.h>
#include <kernel/guest/memory/nested.h>
#include <kernel/guest/vcpu/svm/enter.h>
#include <kernel/guest/vcpu/svm/exitname.h>
#include <kernel/guest/vcpu/svm/maps.h>
#include <kernel/guest/vcpu/svm/state.h>
#include <kernel/guest/vcpu/svm/statelog.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- processors ----------------------------------------------------------- */

/* What the current CPU has. */
static struct {
	bool svm, switched_off, nested_paging, next_rip, page_1g;
} has;

static struct cpuid test_cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r = { 0, 0, 0, 0 };

	(void)subleaf;
	if (leaf == 0x80000000)
		r.eax = 0x8000000a;
	if (leaf == 0x80000001 && has.svm)
		r.ecx = CPUID80000001_ECX_SVM;
	if (leaf == 0x80000001 && has.page_1g)
		r.edx = CPUID80000001_EDX_PAGE1GB;
	if (leaf == 0x8000000a)
		r.edx = (has.nested_paging ? (u32)CPUID8000000A_EDX_NP : 0) |
			(has.next_rip ? (u32)CPUID8000000A_EDX_NRIPS : 0);
	return r;
}

static u64 test_rdmsr(u32 msr)
{
	assert_int_equal(msr, MSR_VM_CR);
	if (!has.svm)
		fail_msg("VM_CR is read on a processor without SVM");
	return has.switched_off ? MSR_VM_CR_SVMDIS : 0;
}

/* --- SVM, of which only svm_why_unsupported() and npt_init() are called --- */

#define svm_create NULL
#define svm_destroy NULL
#define svm_reset NULL
#define svm_set_entry NULL
#define svm_set_sipi NULL
#define svm_enter NULL
#define svm_mode NULL
#define svm_segment_base NULL
#define svm_set_rip NULL
#define svm_has_breakpoints NULL
#define svm_accessed NULL
#define svm_inject NULL
#define svm_set_cr2 NULL
#define svm_write_cr4 NULL
#define svm_read_msr NULL
#define svm_write_msr NULL
#define svm_tsc_offset NULL
#define svm_log_state NULL
#define svm_maps_init() 0
#define svm_exit_name NULL
#define kzalloc(size) NULL
#define alloc_page() NULL
#define virt_to_phys(p) ((paddr_t)(p))
#define cpuid(leaf, subleaf) test_cpuid(leaf, subleaf)
#define rdmsr(msr) test_rdmsr(msr)
#define svm_cpu_init unused_svm_cpu_init
#define svm_backend unused_svm_backend
#include <kernel/guest/vcpu/svm/svm.c>
#undef svm_backend
#undef svm_cpu_init
#undef kzalloc
#undef alloc_page
#undef virt_to_phys
extern const struct vcpu_backend svm_backend;
#include <kernel/guest/vcpu/backend.c>
#include <kernel/guest/vcpu/svm/npt.c>

/* --- what they call ------------------------------------------------------- */

static u32 initialised; /* CPUs, one bit each */

static int cpu_init(void)
{
	initialised |= 1u << this_cpu()->id;
	npt_init();
	return 0;
}

const struct vcpu_backend svm_backend = {
	.name = "AMD SVM",
	.why_unsupported = svm_why_unsupported,
	.cpu_init = cpu_init,
};
const struct nested_format *nested_format;
const char *(*exit_reason_name)(u32 reason);

static u32 added; /* CPUs, one bit each */

void policy_cpu_init(void)
{
	added |= 1u << this_cpu()->id;
}

void speculation_cpu_init(void)
{
}

int exit_ring_init(void)
{
	return 0;
}

/* --- tests ---------------------------------------------------------------- */

static struct cpu cpu;

static int start(u32 id)
{
	cpu.self = &cpu;
	cpu.id = id;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu), 0);
	return vcpu_backend_init();
}

static void all_of_it(void)
{
	has.svm = has.nested_paging = has.next_rip = has.page_1g = true;
	has.switched_off = false;
}

static void begin(void)
{
	vcpu_backend = NULL;
	initialised = 0;
	svm_features = (struct svm_features){ true, true };
	npt.has_1g = true;
	all_of_it();
}

/* A CPU that cannot run guests is left out, and its registers are left alone. */
static void cpus_that_differ(void **state)
{
	(void)state;
	begin();
	assert_int_equal(start(0), 0);
	has.svm = false;
	assert_int_equal(start(1), -ENODEV);
	all_of_it();
	has.switched_off = true;
	assert_int_equal(start(2), -ENODEV);
	all_of_it();
	has.nested_paging = false;
	assert_int_equal(start(3), -ENODEV);
	all_of_it();
	assert_int_equal(start(4), 0);
	assert_int_equal(initialised, 0x11);
	assert_int_equal(added, 0x11);
	assert_true(vcpu_backend != NULL);

	begin();
	has.svm = false;
	assert_int_equal(start(0), -ENODEV);
	assert_null(vcpu_backend);
}

/* What one CPU lacks is used on none. */
static void features_of_all(void **state)
{
	(void)state;
	begin();
	assert_int_equal(start(0), 0);
	assert_true(svm_features.next_rip && nested_format->has_1g);
	has.next_rip = has.page_1g = false;
	assert_int_equal(start(1), 0);
	all_of_it();
	assert_int_equal(start(2), 0);
	assert_false(svm_features.next_rip || nested_format->has_1g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpus_that_differ),
		cmocka_unit_test(features_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
