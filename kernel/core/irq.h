/* Host interrupts: vectors, handlers, inter-processor interrupts.
 *
 * The hypervisor runs with RFLAGS.IF = 0. Interrupts are taken at irq_window() (right after an exit
 * that an interrupt caused, and between scheduling rounds) and in the idle halt, so a handler runs
 * to its end with no lock held.
 */
#pragma once

#include <kernel/core/cpu.h>
#include <kernel/lib/compiler.h>

/* irq_alloc() allocates 0x30 to 0xdf; the fixed vectors are above. */
#define VECTOR_FIRST_DEVICE 0x30
#define VECTOR_LAST_DEVICE 0xdf
#define VECTOR_TIMER 0xe0
#define VECTOR_KICK 0xe1 /* only makes the CPU leave guest mode and look again */
#define VECTOR_SHOOTDOWN 0xe2
#define VECTOR_SPURIOUS 0xff

/* Reserve a device vector on one CPU. Returns it, or -ENOSPC, with a line in the log. The handler
 * runs on that CPU with interrupts disabled; the EOI follows it. */
int irq_alloc(u32 cpu, void (*handler)(void *arg), void *arg) __must_check;
void irq_free(u32 cpu, int vector);
/* How many more irq_alloc() would find on this CPU now. */
u32 irq_count_free(u32 cpu);
/* Fixed vectors, on all CPUs; boot only. */
void irq_set_fixed(int vector, void (*handler)(void *arg), void *arg);
/* Send a fixed vector to another CPU. */
void irq_send(u32 cpu, int vector);
/* Take pending interrupts: sti; nop; cli. No lock may be held. */
void irq_window(void);
/* Halt until an interrupt arrives; it has been handled on return. No lock may be held. */
void irq_wait(void);

/* MSI address and data for a device whose interrupts are not remapped (the remapping units' own
 * events): fixed, edge-triggered, physical destination. SDM vol. 3, 11.11. */
void irq_msi_message(u32 cpu, int vector, u64 *address, u32 *data);
