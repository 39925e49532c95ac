/* The application processors. */
#pragma once

#include <kernel/lib/compiler.h>

struct smp_limits {
	u32 max; /* CPUs */
	bool one_thread; /* of each core */
};

/* Start the processors with these `nr` APIC ids (the calling one may be among them), as far as the
 * limits allow. Each calls prepare() before it counts as online, one after the other, and then
 * main(), which does not return. One that does not start is named in the log. Boot, bootstrap
 * processor. */
void smp_init(const u32 *apic_id, u32 nr, struct smp_limits limits, void (*prepare)(void),
	      void (*main)(void));
