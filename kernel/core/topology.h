/* Which processors are threads of one core. */
#pragma once

#include <kernel/lib/compiler.h>

/* How many low bits of an APIC id number the threads of a core: CPUID 0Bh (SDM vol. 2), or AMD's
 * 8000001Eh (APM vol. 3, E.4.16), which on family 15h counts the cores of a compute unit: they
 * share as much. False: the processor has threads, but does not say which. Any context. */
bool topology_thread_bits(unsigned int *bits) __must_check;
