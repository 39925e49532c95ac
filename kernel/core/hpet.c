/* The high-precision event timer (IA-PC HPET 1.0a, 2.3). */
#include <kernel/core/hpet.h>

#include <kernel/lib/atomic.h>
#include <kernel/x86/tsc.h>

#define HPET_PERIOD 0x04 /* of a tick, in femtoseconds */
#define HPET_PERIOD_MAX 100000000u
#define HPET_CONFIG 0x10
#define HPET_CONFIG_ENABLE 1u
#define HPET_COUNTER 0xf0 /* its lower half */

#define FS_PER_10_NS 10000000UL
#define MEASURED_FS (1000000 * FS_PER_10_NS)
/* Accesses, and ticks of the TSC, as for the PIT. */
#define MAX_POLLS 1000000
#define MAX_TICKS 200000000

static volatile u32 *reg(volatile void *registers, u32 offset)
{
	return (volatile u32 *)((volatile u8 *)registers + offset);
}

u64 hpet_measure_tsc_hz(volatile void *registers)
{
	u32 period = *reg(registers, HPET_PERIOD), config = *reg(registers, HPET_CONFIG);
	u32 first, passed, polls = 0;
	u64 start, end;

	if (!period || period > HPET_PERIOD_MAX)
		return 0;
	*reg(registers, HPET_CONFIG) = config | HPET_CONFIG_ENABLE;
	first = *reg(registers, HPET_COUNTER);
	start = rdtsc();
	do {
		cpu_relax();
		passed = *reg(registers, HPET_COUNTER) - first;
		end = rdtsc();
	} while (passed < MEASURED_FS / period && (++polls < MAX_POLLS || end - start < MAX_TICKS));
	*reg(registers, HPET_CONFIG) = config;
	if (passed < MEASURED_FS / period)
		return 0;
	return (end - start) * 100000000 / ((u64)passed * period / FS_PER_10_NS);
}
