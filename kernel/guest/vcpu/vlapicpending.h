/* The vectors of a virtual local APIC: pending (IRR), offered to the guest, in service (ISR). */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/compiler.h>

/* Two registers of the IRR or the ISR, read at once. */
typedef u64 __attribute__((may_alias)) vlapic_pair;

static inline bool vlapic_any(const u32 bits[8])
{
	const vlapic_pair *pair = (const vlapic_pair *)bits;

	return read_once(&pair[0]) | read_once(&pair[1]) | read_once(&pair[2]) |
	       read_once(&pair[3]);
}

/* True if a vector is pending, whatever the priorities. Any CPU. */
static inline bool vlapic_has_pending(const struct vlapic *a)
{
	return vlapic_any(a->irr);
}

/* True if an interrupt is in service. The vCPU's own CPU. */
static inline bool vlapic_is_in_service(const struct vlapic *a)
{
	return vlapic_any(a->isr);
}

/* Make `vector` pending (edge-triggered), and wake or kick the vCPU unless it was pending already.
 * Vectors below 16 are ignored. Any CPU, any context. */
void vlapic_deliver(struct vcpu *v, u8 vector);
/* The same, level-triggered: its EOI is told to the I/O APIC. False: the APIC is disabled. */
bool vlapic_deliver_level(struct vcpu *v, u8 vector);
/* True if `vector` is pending. Unlike the other functions here, it does not look at priorities. */
bool vlapic_is_pending(const struct vlapic *a, u8 vector);
/* The highest pending vector above the processor priority, or -1. This function and those below run
 * on the vCPU's own CPU. */
int vlapic_pending(struct vcpu *v);
/* Before an entry: return the vector of an interrupt from a PC's controllers (extint.h), or else
 * that of vlapic_pending(), and clear it in the IRR. If the same vector arrives again while the
 * guest can take this one, it counts as a new interrupt. */
int vlapic_offer(struct vcpu *v);
/* After the exit: the offered vector is now in service if it was taken, or else back in the IRR. */
void vlapic_settle(struct vcpu *v, u8 vector, bool taken);
/* The guest has written EOI, or cleared its paravirtual EOI flag (kernel/guest/vcpu/pveoi.h). */
void vlapic_end_of_interrupt(struct vcpu *v);
/* True if the next EOI only ends the interrupt in service or, if there is none, the offered one,
 * and no other interrupt waits for it. */
bool vlapic_next_eoi_is_quiet(const struct vcpu *v, int offered);
/* The processor priority (SDM vol. 3, 11.8.3.1). */
u32 vlapic_ppr(const struct vlapic *a);
/* Read or write CR8, which is bits 7:4 of the task priority (SDM vol. 3, 11.8.6). */
static inline u8 vlapic_cr8(const struct vcpu *v)
{
	return (u8)(v->lapic.tpr >> 4);
}

static inline void vlapic_set_cr8(struct vcpu *v, u8 cr8)
{
	if (cr8 != vlapic_cr8(v))
		v->lapic.tpr = (u32)cr8 << 4;
}

/* True if only the task priority keeps a pending vector from being delivered. */
bool vlapic_held_by_tpr(const struct vcpu *v);
