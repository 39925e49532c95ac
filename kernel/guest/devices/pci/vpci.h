/* The virtual PCI bus of a domain: config mechanism 1 (ports 0xCF8/0xCFC), a host bridge at
 * 00:00.0, and the functions that the domain owns, each behind a filter. See docs/architecture.md.
 */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;
struct vpci;

/* Build an empty bus for d and register its ports. -ENOMEM, -ENOSPC. */
int __must_check vpci_init(struct domain *d);

/* Interrupts are counted in windows. */
#define IRQ_WINDOWS_PER_SECOND 100u
/* How many interrupts a second each domain's device may raise, in multiples of
 * IRQ_WINDOWS_PER_SECOND; 0: any number. Boot. */
void vmsi_set_irq_limit(u32 per_second);
