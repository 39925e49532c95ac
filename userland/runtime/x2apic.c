/* The local APIC in x2APIC mode (SDM vol. 3, 11.12) and its timer. */
#include "cpu.h"
#include "runtime.h"

#define CPUID1_ECX_X2APIC BIT(21)
#define CPUID1_ECX_TSC_DEADLINE BIT(24)
#define IA32_APIC_BASE 0x1b
#define APIC_BASE_EXTD BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define IA32_TSC_DEADLINE 0x6e0

#define X2APIC_ID 0x802
#define X2APIC_TPR 0x808
#define X2APIC_EOI 0x80b
#define X2APIC_SVR 0x80f
#define X2APIC_LVT_TIMER 0x832
#define X2APIC_LVT_LINT0 0x835
#define X2APIC_LVT_LINT1 0x836
#define X2APIC_INITIAL_COUNT 0x838
#define X2APIC_CURRENT_COUNT 0x839
#define X2APIC_DIVIDE 0x83e

#define SVR_ENABLE BIT(8)
#define LVT_MASKED BIT(16)
#define TIMER_TSC_DEADLINE BIT(18)
#define DIVIDE_BY_16 3
#define MEASURE_NS 10000000UL

static bool deadline;
static u64 timer_khz; /* behind the divider */

static u64 measure_khz(void)
{
	u64 until = clock_ns() + MEASURE_NS;

	wrmsr(X2APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
	wrmsr(X2APIC_DIVIDE, DIVIDE_BY_16);
	wrmsr(X2APIC_INITIAL_COUNT, 0xffffffff);
	while (clock_ns() < until)
		cpu_pause();
	return (0xffffffff - rdmsr(X2APIC_CURRENT_COUNT)) / (MEASURE_NS / 1000000);
}

void x2apic_init(void)
{
	u32 features = cpuid(1, 0).ecx;
	u64 base = rdmsr(IA32_APIC_BASE);

	if (!(features & CPUID1_ECX_X2APIC))
		fatal("the CPU has no x2APIC; under QEMU add +x2apic to -cpu");
	wrmsr(IA32_APIC_BASE, base | APIC_BASE_ENABLE);
	wrmsr(IA32_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_EXTD);
	wrmsr(X2APIC_TPR, 0);
	wrmsr(X2APIC_LVT_LINT0, LVT_MASKED);
	wrmsr(X2APIC_LVT_LINT1, LVT_MASKED);
	wrmsr(X2APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);

	deadline = features & CPUID1_ECX_TSC_DEADLINE;
	if (deadline) {
		wrmsr(X2APIC_LVT_TIMER, TIMER_TSC_DEADLINE | VECTOR_TIMER);
		return;
	}
	timer_khz = measure_khz();
	if (!timer_khz)
		fatal("the local APIC's timer does not count");
	wrmsr(X2APIC_INITIAL_COUNT, 0);
	wrmsr(X2APIC_LVT_TIMER, VECTOR_TIMER);
}

void x2apic_timer(u64 ns)
{
	u64 count;

	if (deadline) {
		wrmsr(IA32_TSC_DEADLINE, ns ? rdtsc() + ns * clock_tsc_khz() / 1000000 : 0);
		return;
	}
	count = ns * timer_khz / 1000000;
	if (ns && !count)
		count = 1;
	wrmsr(X2APIC_INITIAL_COUNT, MIN(count, 0xffffffffUL));
}

u32 x2apic_id(void)
{
	return (u32)rdmsr(X2APIC_ID);
}

void x2apic_end_of_interrupt(void)
{
	wrmsr(X2APIC_EOI, 0);
}
