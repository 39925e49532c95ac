/* The entry point of a guest's first vCPU. */
#pragma once

#include <kernel/lib/compiler.h>

/* The first vCPU's registers. It starts in 32-bit protected mode with flat segments, with paging
 * and interrupts off (Multiboot specification 0.6.96, 3.2; PVH:
 * xen/include/public/arch-x86/hvm/start_info.h). */
struct guest_entry {
	u32 eip, eax, ebx, esi;
	/* The local APICs start in x2APIC mode, as firmware may leave them. */
	bool x2apic;
};
