/* The exception entry's interface to kernel/core/irq.c. */
#pragma once

#include <kernel/lib/compiler.h>

/* Run the handler of this vector on this CPU and end the interrupt. */
void irq_handle(int vector);
/* NMI to all CPUs but this one, without taking a lock; nothing happens before the local APIC
 * is up. */
void irq_stop_others(void);
