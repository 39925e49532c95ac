/* ACPI's power-management timer (ACPI specification 6.5, section 4.8.2.1): 3.579545 MHz, 24 or 32
 * bits. */
#pragma once

#include <kernel/lib/compiler.h>

/* TSC ticks per second, measured over about 10 ms; 0 if the timer does not run. */
u64 pmtimer_measure_tsc_hz(u16 port, unsigned int bits);
