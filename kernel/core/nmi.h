/* NMIs of the chipset: system errors, the NMI button, watchdogs. They arrive at the pins that the
 * firmware's MADT names (lapic_add_nmi()). */
#pragma once

#include <kernel/lib/compiler.h>

/* An NMI that Weir has not sent: count it, and ask the chipset for its reason. True if Weir is to
 * stop (nmi=panic). NMI context. */
bool nmi_take(void);
/* Tell every few seconds how many have come, if any have; `panics`: stop at the first instead.
 * Boot, on the bootstrap processor, when the timers run. */
void nmi_start(bool panics);
/* The reason that the chipset has given for the last one, in words. */
const char *nmi_reason(void);
