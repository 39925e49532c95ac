/* Bringing up the clock and the timers; see kernel/core/clock.h for their use. */
#pragma once

#include <kernel/lib/compiler.h>

/* Time starts here. */
void clock_start(void);
/* Calibrate the TSC against the ACPI timer at this port (0: there is none), or else the PIT. False
 * if neither runs. */
bool clock_calibrate(u16 pm_timer_port, unsigned int pm_timer_bits) __must_check;
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
