/* The ACPI power-management timer (ACPI 6.4, 4.8.3.3), which the TSC is measured by. */
#include <kernel/core/pmtimer.h>

#include <kernel/lib/atomic.h>
#include <kernel/x86/io.h>
#include <kernel/x86/tsc.h>

#define PM_TIMER_HZ 3579545u
#define TICKS (PM_TIMER_HZ / 100)
/* Accesses, and ticks of the TSC, as for the PIT. */
#define MAX_POLLS 200000
#define MAX_TICKS 200000000

u64 pmtimer_measure_tsc_hz(u16 port, unsigned int bits)
{
	u32 mask = bits == 32 ? ~0u : (1u << 24) - 1;
	u32 first = inl(port) & mask, passed, polls = 0;
	u64 start = rdtsc(), end;

	do {
		cpu_relax();
		passed = (inl(port) - first) & mask;
		end = rdtsc();
	} while (passed < TICKS && (++polls < MAX_POLLS || end - start < MAX_TICKS));
	if (polls < 10 || passed < TICKS)
		return 0;
	return (end - start) * PM_TIMER_HZ / passed;
}
