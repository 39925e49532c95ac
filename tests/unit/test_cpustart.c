/* sources: */
/* What each CPU sets for itself when it starts, whatever the firmware has left: its local APIC, and
 * the PAT. */
#include "test.h"

#include <kernel/core/cpuinit.h>
#include <kernel/core/idt.h>
#include <kernel/core/irq.h>
#include <kernel/core/paging.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/cache.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/interrupts.h>
#include <kernel/x86/msr.h>

/* --- a CPU ---------------------------------------------------------------- */

static u32 apic[0x80]; /* by number of register */
static u32 extended_lvts, taken;
static u64 pat, apic_base, gs_base;
static u32 own_apic_id;
static bool flushed;

static int highest(u32 first)
{
	for (int i = 7; i >= 0; i--)
		if (apic[first + (u32)i])
			return 32 * i + 31 - __builtin_clz(apic[first + (u32)i]);
	return -1;
}

static u64 test_rdmsr(u32 msr)
{
	if (msr == MSR_PAT)
		return pat;
	if (msr == MSR_APIC_BASE)
		return apic_base;
	if (msr == MSR_GS_BASE)
		return gs_base;
	assert_in_range(msr, MSR_X2APIC, MSR_X2APIC + 0x7f);
	return apic[msr - MSR_X2APIC];
}

/* True if this APIC has the register. */
static bool exists(u32 reg)
{
	u32 entries = (apic[APIC_VERSION] >> 16 & 0xff) + 1;

	switch (reg) {
	case APIC_LVT_CMCI:
		return entries > 6;
	case APIC_LVT_THERMAL:
		return entries > 5;
	case APIC_LVT_PERF:
		return entries > 4;
	case APIC_TPR:
	case APIC_EOI:
	case APIC_SVR:
		return true;
	default:
		return (reg >= APIC_LVT_TIMER && reg <= APIC_TIMER_INITIAL) ||
		       reg == APIC_TIMER_DIVIDE ||
		       (reg >= APIC_EXT_LVT && reg < APIC_EXT_LVT + extended_lvts);
	}
}

static void test_wrmsr(u32 msr, u64 value)
{
	u32 reg = msr - MSR_X2APIC;

	if (msr == MSR_APIC_BASE) {
		apic_base = value;
	} else if (msr == MSR_GS_BASE) {
		gs_base = value;
	} else if (msr == MSR_PAT) {
		pat = value;
		flushed = false;
	} else if (!exists(reg)) {
		fail_msg("a write to register 0x%x, which this APIC does not have", reg);
	} else if (reg == APIC_EOI) {
		int vector = highest(APIC_ISR);

		assert_true(vector >= 0);
		apic[APIC_ISR + (u32)vector / 32] &= ~(1u << vector % 32);
	} else {
		apic[reg] = (u32)value;
	}
}

/* Interrupts are taken and ended, as irq_handle() does. */
static void test_window(void)
{
	for (;;) {
		int vector = highest(APIC_IRR);

		if (vector < 0 || (u32)vector >> 4 <= apic[APIC_TPR] >> 4)
			return;
		assert_true(vector >= 32);
		apic[APIC_IRR + (u32)vector / 32] &= ~(1u << vector % 32);
		taken++;
	}
}

static struct cpuid test_cpuid(u32 leaf)
{
	struct cpuid r = { 0, 0, 0, 0 };

	if (leaf == 0)
		r.eax = 0xb;
	if (leaf == 0xb)
		r = (struct cpuid){ .ebx = 1, .edx = own_apic_id };
	if (leaf == 1) {
		r.ecx = CPUID1_ECX_X2APIC;
		r.edx = CPUID1_EDX_APIC | CPUID1_EDX_PAT;
	}
	return r;
}

#define rdmsr(msr) test_rdmsr(msr)
#define wrmsr(msr, value) test_wrmsr(msr, value)
#define cpuid(leaf, subleaf) test_cpuid(leaf)
#define interrupts_window() test_window()
#define wbinvd() ((void)0)
#define read_cr3() 0UL
#define write_cr3(value) (flushed = true)
#include <kernel/core/cpu.c>
#include <kernel/core/lapic.c>

/* Linked, but never called. */
void mcheck_init_cpu(void)
{
}

void segments_load(struct segments *s)
{
	(void)s;
}

void segments_use_image_stacks(struct segments *s)
{
	(void)s;
}

const char *segments_stack_above(const struct segments *s, const void *va)
{
	(void)s, (void)va;
	return NULL;
}

void idt_load(void)
{
}

volatile void *mmio_map(paddr_t pa, size_t size)
{
	(void)pa, (void)size;
	return NULL;
}

/* --- tests ---------------------------------------------------------------- */

static void any_firmware(void)
{
	u32 entries = 4 + (u32)rand() % 4;

	memset(apic, 0, sizeof(apic));
	taken = 0;
	extended_lvts = rand() % 2 ? (u32)rand() % 5 : 0;
	apic[APIC_VERSION] = 0x15 | (entries - 1) << 16;
	if (extended_lvts)
		apic[APIC_VERSION] |= (u32)VERSION_EXTENDED;
	apic[APIC_EXT_FEATURE] = extended_lvts << 16;
	for (u32 reg = 0; reg < ARRAY_SIZE(apic); reg++)
		if (reg != APIC_EOI && exists(reg))
			apic[reg] = (u32)rand() & 0xff;
	for (u32 i = 0; i < 8; i++) {
		apic[APIC_ISR + i] = rand() % 2 ? (u32)rand() : 0;
		apic[APIC_IRR + i] = rand() % 2 ? (u32)rand() : 0;
	}
	apic[APIC_ISR] &= 0xffff0000;
	apic[APIC_IRR] &= 0xffff0000;
}

/* Every entry that exists is masked, the others are not touched, nothing is left in service or
 * pending, and no vector of an exception is taken. */
static void apic_is_quiet(void **state)
{
	(void)state;
	srand(test_seed());
	for (u32 i = 0; i < 20000; i++) {
		any_firmware();
		if (!i)
			assert_int_equal(lapic_init(0, false), 0);
		else
			lapic_enable();
		for (u32 reg = APIC_LVT_THERMAL; reg <= APIC_LVT_ERROR; reg++)
			assert_true(!exists(reg) || (apic[reg] & LVT_MASKED));
		assert_true(!exists(APIC_LVT_CMCI) || (apic[APIC_LVT_CMCI] & LVT_MASKED));
		for (u32 n = 0; n < extended_lvts; n++)
			assert_true(apic[APIC_EXT_LVT + n] & LVT_MASKED);
		assert_int_equal(highest(APIC_ISR), -1);
		assert_true(highest(APIC_IRR) < 32);
		assert_int_equal(apic[APIC_LVT_TIMER], VECTOR_TIMER);
		assert_int_equal(apic[APIC_TPR], 0x10);
	}
}

/* A pin is unmasked where NMIs arrive, on the CPUs for which the firmware says so. */
static void nmi_pins_are_open(void **state)
{
	(void)state;
	srand(test_seed());
	lapic_add_nmi(5, 1, false);
	lapic_add_nmi(6, 0, true);
	lapic_add_nmi(6, 7, false);
	for (u32 id = 4; id < 7; id++) {
		any_firmware();
		apic[APIC_ID] = id;
		lapic_enable();
		assert_int_equal(apic[APIC_LVT_LINT0], id == 6 ? 0x2400 : LVT_MASKED);
		assert_int_equal(apic[APIC_LVT_LINT1], id == 5 ? 0x400 : LVT_MASKED);
	}
}

/* After an exception with a guest's GS base, each CPU finds its own record. */
static void gs_is_repaired(void **state)
{
	static struct cpu record[3] = { { .apic_id = 4 }, { .apic_id = 9 }, { .apic_id = 0x101 } };
	static const u64 left[] = { 0, 0x8000000000, ~0UL, (u64)&record[0], (u64)&record[1] };

	(void)state;
	nr_cpus = 2; /* the third is being started */
	for (u32 i = 0; i < ARRAY_SIZE(record); i++)
		cpus[i] = &record[i];
	for (u32 i = 0; i < ARRAY_SIZE(left); i++)
		for (u32 k = 0; k < ARRAY_SIZE(record); k++) {
			own_apic_id = record[k].apic_id;
			gs_base = left[i];
			cpu_repair_gs();
			assert_int_equal(gs_base, (u64)&record[k]);
		}
	/* Before the APIC ids are known. */
	own_apic_id = 77;
	gs_base = (u64)&record[1];
	cpu_repair_gs();
	assert_int_equal(gs_base, (u64)&record[1]);
	gs_base = 77;
	cpu_repair_gs();
	assert_int_equal(gs_base, (u64)&record[0]);
}

static void pat_is_known(void **state)
{
	static const u64 left[] = { PAT_RESET, 0, 0x0606060606060606, 0x0007010600070106 };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(left); i++) {
		pat = left[i];
		flushed = true;
		set_pat();
		assert_int_equal(pat, PAT_RESET);
		assert_true(flushed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(apic_is_quiet),
		cmocka_unit_test(nmi_pins_are_open),
		cmocka_unit_test(gs_is_repaired),
		cmocka_unit_test(pat_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
