/* KVM's paravirtual EOI (Linux: Documentation/virt/kvm/x86/msr.rst, MSR_KVM_PV_EOI_EN): a flag in
 * the guest's memory, one a vCPU, which says that the EOI of the interrupt it is handling need not
 * be written to the APIC: clearing the flag is the EOI. Weir sets it when no other interrupt waits
 * for that EOI, and sees at the next exit what has become of it. What a guest writes there ends its
 * own interrupts only, as any EOI does. */
#pragma once

#include <kernel/lib/compiler.h>

struct vcpu;

/* -EINVAL: #GP. */
int __must_check pveoi_write_msr(struct vcpu *v, u64 value);

/* Its own CPU, next to the world switch: behind in_guest, so that what becomes pending later ends
 * the entry; `offered` is the vector that the guest takes next, or -1. */
void pveoi_before_entry(struct vcpu *v, int offered);
/* What was offered and taken is in service by now. */
void pveoi_after_exit(struct vcpu *v);
