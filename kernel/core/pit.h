/* The 8254 timer's channel 2, whose output can be read back: a reference to calibrate against. */
#pragma once

#include <kernel/lib/compiler.h>

/* TSC ticks per second, measured over about 10 ms; 0 if the timer does not run. */
u64 pit_measure_tsc_hz(void);
