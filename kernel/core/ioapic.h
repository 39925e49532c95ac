/* I/O APICs (82093AA data sheet). Weir uses only message-signalled interrupts, so it masks all
 * their lines. */
#pragma once

#include <kernel/lib/compiler.h>

/* Mask every line of the I/O APIC with this id and physical address. False if it does not answer or
 * cannot be mapped (the log says so). */
bool ioapic_mask_all(u8 id, paddr_t address);
