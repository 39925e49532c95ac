/* The local APIC in x2APIC mode (SDM vol. 3, 11.12) and its timer. */
#include <kernel/lib/atomic.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/tsc.h>
#include "runtime.h"

#define MEASURE_NS 10000000UL

static bool deadline;
static u64 timer_khz; /* after the divider */

static u64 measure_khz(void)
{
	u64 until = clock_ns() + MEASURE_NS;

	wrmsr(X2APIC(APIC_LVT_TIMER), LVT_MASKED | VECTOR_TIMER);
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_16);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 0xffffffff);
	while (clock_ns() < until)
		cpu_relax();
	return (0xffffffff - rdmsr(X2APIC(APIC_TIMER_CURRENT))) / (MEASURE_NS / 1000000);
}

void x2apic_init(void)
{
	u32 features = cpuid(1, 0).ecx;
	u64 base = rdmsr(MSR_APIC_BASE);

	if (!(features & CPUID1_ECX_X2APIC))
		fatal("the CPU has no x2APIC; under QEMU add +x2apic to -cpu");
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
	wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_EXTD);
	wrmsr(X2APIC(APIC_TPR), 0);
	wrmsr(X2APIC(APIC_LVT_LINT0), LVT_MASKED);
	wrmsr(X2APIC(APIC_LVT_LINT1), LVT_MASKED);
	wrmsr(X2APIC(APIC_SVR), SVR_ENABLE | VECTOR_SPURIOUS);

	deadline = features & CPUID1_ECX_TSC_DEADLINE;
	if (deadline) {
		wrmsr(X2APIC(APIC_LVT_TIMER), LVT_TSC_DEADLINE | VECTOR_TIMER);
		return;
	}
	timer_khz = measure_khz();
	if (!timer_khz)
		fatal("the local APIC's timer does not count");
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 0);
	wrmsr(X2APIC(APIC_LVT_TIMER), VECTOR_TIMER);
}

void x2apic_timer(u64 ns)
{
	u64 count;

	if (deadline) {
		wrmsr(MSR_TSC_DEADLINE, ns ? rdtsc() + ns * clock_tsc_khz() / 1000000 : 0);
		return;
	}
	count = ns * timer_khz / 1000000;
	if (ns && !count)
		count = 1;
	wrmsr(X2APIC(APIC_TIMER_INITIAL), MIN(count, 0xffffffffUL));
}

u32 x2apic_id(void)
{
	return (u32)rdmsr(X2APIC(APIC_ID));
}

void x2apic_end_of_interrupt(void)
{
	wrmsr(X2APIC(APIC_EOI), 0);
}
