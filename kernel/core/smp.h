/* The application processors. */
#pragma once

#include <kernel/lib/compiler.h>

/* Start the processors with these `nr` APIC ids (the calling one may be among them) until `max` are
 * online; each ends up in main(), which does not return. One that does not start is named in the
 * log. Boot, bootstrap processor. */
void smp_init(const u32 *apic_id, u32 nr, u32 max, void (*main)(void));
