/* Interrupts: exceptions end the guest, everything else goes to a handler. One CPU; handlers run with interrupts off. */
#pragma once

#include <kernel/compiler.h>

/* IDT, and the CPU's x2APIC (SDM vol. 3, 11.12) with its timer. Ends the guest if the CPU has no x2APIC. */
void interrupt_init(void);
/* A vector of one's own. Returns it, or -ENOSPC. */
int __must_check interrupt_alloc(void (*handler)(void *arg), void *arg);
/* What a device has to write for that vector (SDM vol. 3, 11.11). */
u64 interrupt_msi_address(void);
u32 interrupt_msi_data(int vector);

/* Interrupts that came since the start, by kind. */
extern u64 interrupts_timer, interrupts_device;
