/* Bringing up the clock and the timers; see kernel/core/clock.h for their use. */
#pragma once

#include <kernel/lib/compiler.h>

/* Time starts here. */
void clock_start(void);
/* What the firmware says of the timers. */
struct clock_sources {
	u16 pm_timer_port; /* 0: there is none */
	unsigned int pm_timer_bits;
	paddr_t hpet; /* 0: there is none */
};
/* Find out how fast the TSC runs: from CPUID, by the ACPI timer, the HPET, or the PIT. False if
 * there is none of them. */
bool clock_calibrate(const struct clock_sources *sources) __must_check;
/* Read the date from the real-time clock. */
void clock_read_date(void);
/* The TSC value at this time; the current one if the time has passed. */
u64 clock_tsc_at(u64 ns);
/* Ticks per nanosecond, times 2^32; and how many of them to wait for a deadline. */
u64 clock_mult(u64 hz);
u64 clock_ticks_until(u64 deadline_ns, u64 mult);
/* Measure the local APIC's timer (if it has no TSC deadline); false if it stands still. Bootstrap
 * processor. */
bool timer_init_system(void) __must_check;
