/* I/O APICs (82093AA data sheet): Weir uses messages only, so all that is done is to silence
 * them. */
#pragma once

#include <kernel/lib/compiler.h>

/* Mask every line of the I/O APIC with this id and physical address. False if it does not answer or
 * cannot be mapped (the log says so). */
bool ioapic_mask_all(u8 id, paddr_t address);
