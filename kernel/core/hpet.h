/* The high-precision event timer, which the TSC is measured by. */
#pragma once

#include <kernel/lib/compiler.h>

#define HPET_SIZE 0x400

/* TSC ticks per second, measured over 10 ms by the HPET with these registers; 0: it does not run.
 * Boot. */
u64 hpet_measure_tsc_hz(volatile void *registers);
