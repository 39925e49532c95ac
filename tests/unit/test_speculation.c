/* sources: */
/* What is done against speculation: which registers a CPU writes, by what it offers. */
#include "test.h"

#include <kernel/core/cpu.h>
#include <kernel/guest/memory/nested.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuid.h>
#include <kernel/guest/vcpu/fpu.h>
#include <kernel/guest/vcpu/speculation.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/debug.h>
#include <kernel/x86/msr.h>

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- a processor ---------------------------------------------------------- */

struct processor {
	u32 last, last_extended;
	u32 edx_7, ebx_80000008, eax_80000021;
	u64 arch_capabilities;
	/* What must be written. */
	u64 efer, spec_ctrl;
	bool ibpb, fill;
};

static const struct processor *cpu_now;
static u64 efer, spec_ctrl;
static u32 barriers;

static struct cpuid test_cpuid(u32 leaf)
{
	struct cpuid r = { 0, 0, 0, 0 };

	if (leaf == 0)
		r.eax = cpu_now->last;
	if (leaf == 7)
		r.edx = cpu_now->edx_7;
	if (leaf == CPUID_EXTENDED)
		r.eax = cpu_now->last_extended;
	if (leaf == 0x80000008)
		r.ebx = cpu_now->ebx_80000008;
	if (leaf == 0x80000021)
		r.eax = cpu_now->eax_80000021;
	return r;
}

static u64 test_rdmsr(u32 msr)
{
	switch (msr) {
	case MSR_EFER:
		return efer;
	case MSR_SPEC_CTRL:
		assert_true(cpu_now->spec_ctrl != 0);
		return spec_ctrl;
	case MSR_ARCH_CAPABILITIES:
		assert_true(cpu_now->edx_7 & CPUID7_EDX_ARCH_CAPABILITIES);
		return cpu_now->arch_capabilities;
	}
	fail_msg("MSR 0x%x is read", msr);
	return 0;
}

static void test_wrmsr(u32 msr, u64 value)
{
	switch (msr) {
	case MSR_EFER:
		efer = value;
		return;
	case MSR_SPEC_CTRL:
		assert_true(cpu_now->spec_ctrl != 0);
		spec_ctrl = value;
		return;
	case MSR_PRED_CMD:
		assert_true(cpu_now->ibpb);
		assert_int_equal(value, PRED_CMD_IBPB);
		barriers++;
		return;
	}
	fail_msg("MSR 0x%x is written", msr);
}

#define cpuid(leaf, subleaf) test_cpuid(leaf)
#define rdmsr(msr) test_rdmsr(msr)
#define wrmsr(msr, value) test_wrmsr(msr, value)
#undef read_dr
#undef write_dr
#define read_dr(n) 0UL
#define write_dr(n, value) ((void)(value))
#include <kernel/guest/vcpu/speculation.c>
#include <kernel/guest/vcpu/vcpu.c>

/* --- what vcpu.c calls ---------------------------------------------------- */

static void nothing(struct vcpu *v)
{
	(void)v;
}

static const struct vcpu_backend backend = { .destroy = nothing };
const struct vcpu_backend *vcpu_backend = &backend;

void fpu_switch(struct vcpu *from, struct vcpu *to)
{
	(void)from, (void)to;
}

int fpu_create(struct vcpu *v)
{
	(void)v;
	return 0;
}

void fpu_reset(struct vcpu *v)
{
	(void)v;
}

void fpu_destroy(struct vcpu *v)
{
	(void)v;
}

void vlapic_init(struct vcpu *v)
{
	(void)v;
}

void *kzalloc(size_t size)
{
	(void)size;
	return NULL;
}

void kfree(void *p)
{
	(void)p;
}

void nested_add_tlb(struct nested *n, const struct nested_tlb *tlb)
{
	(void)n, (void)tlb;
}

bool policy_has_tsc_aux(void)
{
	return false;
}

u64 policy_cr4(void)
{
	return 0;
}

/* --- tests ---------------------------------------------------------------- */

#define AMD_IBRS (CPUID80000008_EBX_IBRS | CPUID80000008_EBX_IBRS_ALWAYS_ON)
#define AMD_STIBP (CPUID80000008_EBX_STIBP | CPUID80000008_EBX_STIBP_ALWAYS_ON)

static const struct processor processors[] = {
	/* Old, and an emulator. */
	{ 0xd, 0x8000000a, 0, 0, 0, 0, 0, 0, false, true },
	/* Leaves beyond the last ones are not read. */
	{ 5, 0x80000004, ~0u, ~0u, ~0u, 0, 0, 0, false, true },
	/* AMD: IBPB only; all of the older registers; automatic IBRS. */
	{ 0xd, 0x8000001f, 0, CPUID80000008_EBX_IBPB, 0, 0, 0, 0, true, true },
	{ 0x10, 0x80000020, 0, CPUID80000008_EBX_IBPB | CPUID80000008_EBX_IBRS, 0, 0, 0, 0, true,
	  true },
	{ 0x10, 0x80000021, 0, CPUID80000008_EBX_IBPB | AMD_IBRS | AMD_STIBP, 0, 0, 0,
	  SPEC_CTRL_IBRS | SPEC_CTRL_STIBP, true, true },
	{ 0x10, 0x80000028, 0, CPUID80000008_EBX_IBPB | AMD_IBRS | AMD_STIBP,
	  CPUID80000021_EAX_AUTO_IBRS, 0, EFER_AIBRSE, SPEC_CTRL_STIBP, true, false },
	/* Intel: IBRS and IBPB; "IBRS all". */
	{ 0x16, 0x80000008, CPUID7_EDX_IBRS_IBPB, 0, 0, 0, 0, 0, true, true },
	{ 0x1b, 0x80000008, CPUID7_EDX_IBRS_IBPB | CPUID7_EDX_ARCH_CAPABILITIES, 0, 0,
	  ARCH_CAPABILITIES_IBRS_ALL, 0, SPEC_CTRL_IBRS, true, true },
};

static struct cpu cpu;

static void start(const struct processor *p, u32 id)
{
	cpu_now = p;
	cpu.self = &cpu;
	cpu.id = id;
	cpu.current = NULL;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu), 0);
	efer = EFER_LME;
	spec_ctrl = 0;
	barriers = 0;
	speculation_fill_rsb = off = false;
}

static void registers_by_processor(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(processors); i++) {
		const struct processor *p = &processors[i];

		start(p, i);
		speculation_cpu_init();
		assert_int_equal(efer, EFER_LME | p->efer);
		assert_int_equal(spec_ctrl, p->spec_ctrl);
		assert_int_equal(speculation_fill_rsb, p->fill);
		speculation_change_domain();
		assert_int_equal(barriers, p->ibpb);
	}
}

static void barrier_between_domains(void **state)
{
	static struct vm one, two;
	static struct vcpu a = { .vm = &one }, b = { .vm = &one }, c = { .vm = &two };

	(void)state;
	start(&processors[5], 0);
	speculation_cpu_init();
	vcpu_load(&a);
	assert_int_equal(barriers, 1);
	vcpu_load(&a);
	vcpu_load(&b);
	assert_int_equal(barriers, 1);
	vcpu_load(&c);
	assert_int_equal(barriers, 2);
	vcpu_load(&b);
	assert_int_equal(barriers, 3);
	/* The domain has ended, and another one may have its record now. */
	vcpu_unload(&b);
	vcpu_load(&a);
	assert_int_equal(barriers, 4);
}

static void switched_off(void **state)
{
	static struct vm one;
	static struct vcpu a = { .vm = &one };

	(void)state;
	start(&processors[5], 63);
	speculation_off();
	speculation_cpu_init();
	vcpu_load(&a);
	assert_int_equal(efer, EFER_LME);
	assert_int_equal(spec_ctrl + barriers + speculation_fill_rsb, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registers_by_processor),
		cmocka_unit_test(barrier_between_domains),
		cmocka_unit_test(switched_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
