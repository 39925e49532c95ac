/* The vectors of a virtual local APIC: pending (IRR), offered to the guest, in service (ISR). */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;
struct vlapic;

/* Any CPU, any context: make `vector` pending (edge) and wake or kick the vCPU. Vectors below 16
 * are dropped. */
void vlapic_deliver(struct vcpu *v, u8 vector);
/* Its own CPU, as all below. Highest pending vector above the processor priority, or -1. */
int vlapic_pending(struct vcpu *v);
/* Before an entry: the vector of vlapic_pending() leaves the IRR, so that one that comes while the
 * guest may take it is another one. */
int vlapic_offer(struct vcpu *v);
/* After the exit: it is in service, or back in the IRR. */
void vlapic_settle(struct vcpu *v, u8 vector, bool taken);
/* The guest has written EOI, or what stands for it. */
void vlapic_end_of_interrupt(struct vcpu *v);
/* True: the next EOI only ends the interrupt that is in service or, if none is, the one that is
 * offered: no other interrupt waits for it. */
bool vlapic_next_eoi_is_quiet(const struct vcpu *v, int offered);
/* The processor priority, SDM vol. 3, 11.8.3.1. */
u32 vlapic_ppr(const struct vlapic *a);
/* CR8, which is the upper half of the task priority (SDM vol. 3, 11.8.6). */
u8 vlapic_cr8(const struct vcpu *v);
void vlapic_set_cr8(struct vcpu *v, u8 cr8);
/* True: a vector waits for nothing but a lower task priority. */
bool vlapic_held_by_tpr(const struct vcpu *v);
