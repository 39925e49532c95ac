/* The local APIC of each CPU (SDM vol. 3, chapter 11): in x2APIC mode if possible, else through its
 * memory page. */
#pragma once

#include <kernel/lib/compiler.h>

/* Choose the mode and enable the bootstrap processor's; address as in the MADT. avoid_x2apic: stay
 * in xAPIC mode unless the firmware has left it already. -ENODEV without a local APIC. */
int __must_check lapic_init(paddr_t address, bool avoid_x2apic);
/* NMIs arrive at this pin (LINT0 or LINT1) of this CPU's APIC. Before its APIC is enabled. */
void lapic_add_nmi(u32 apic_id, u32 pin, bool active_low);
/* Enable the calling CPU's own, all but NMIs masked, spurious vector set. What the firmware has
 * left pending is taken and dropped, so interrupts are on for a moment. */
void lapic_enable(void);
bool lapic_is_x2apic(void);
u32 lapic_id(void);
/* Destinations above this cannot be reached. */
u32 lapic_max_id(void);
void lapic_eoi(void);
/* The highest vector that is pending on this CPU (IRR), or -1. */
int lapic_pending_vector(void);
/* True if this CPU's APIC waits for the EOI of this vector. */
bool lapic_in_service(u8 vector);
/* Fixed interrupt, INIT, start-up IPI (page number of the code), NMI to all but this CPU. */
void lapic_send(u32 apic_id, u8 vector);
void lapic_send_init(u32 apic_id);
void lapic_send_startup(u32 apic_id, u8 page);
void lapic_send_nmi_to_others(void);
/* One-shot timer on VECTOR_TIMER: by count (divided by 1), or by TSC where
 * `lapic_has_tsc_deadline()`. */
bool lapic_has_tsc_deadline(void);
void lapic_timer_start(u32 count);
u32 lapic_timer_count(void);
void lapic_timer_deadline(u64 tsc);
