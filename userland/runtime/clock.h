/* Time since the start, from the TSC. */
#pragma once

#include <kernel/compiler.h>

/* Frequency from CPUID 0x40000010 where a hypervisor offers it, else measured against the PIT's channel 2. */
void clock_init(void);
u64 clock_ns(void);
u64 clock_tsc_khz(void);
/* The TSC value at that time, for a TSC deadline. */
u64 clock_tsc_at(u64 ns);
/* Busy-wait, for device resets. */
void clock_delay_us(u32 us);

static inline u64 clock_ms(void)
{
	return clock_ns() / 1000000;
}
