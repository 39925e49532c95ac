/* Where the first vCPU of a guest starts. */
#pragma once

#include <kernel/lib/compiler.h>

/* Registers of the first vCPU, which starts in 32-bit protected mode with flat segments, paging
 * off, and interrupts off (Multiboot specification 0.6.96, 3.2; PVH:
 * xen/include/public/arch-x86/hvm/start_info.h). */
struct guest_entry {
	u32 eip, eax, ebx, esi;
	bool x2apic; /* the local APICs are in x2APIC mode from the start, as firmware may leave them */
};
