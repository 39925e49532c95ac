/* KVM's paravirtual EOI (Linux: Documentation/virt/kvm/x86/msr.rst, MSR_KVM_PV_EOI_EN). Each vCPU
 * has a flag in the guest's memory. While it is set, the guest ends the interrupt that it is
 * handling by clearing the flag instead of writing EOI to the APIC, which saves an exit. Weir sets
 * the flag when no other interrupt waits for that EOI, and checks at the next exit whether the
 * guest has cleared it. Like any EOI, a guest's write to the flag can only end its own
 * interrupts. */
#pragma once

#include <kernel/lib/compiler.h>

struct vcpu;

/* Write MSR_KVM_PV_EOI_EN. -EINVAL: raise #GP. On the vCPU's own CPU. */
int __must_check pveoi_write_msr(struct vcpu *v, u64 value);

/* Set or clear the flag before an entry; `offered` is the vector that the guest takes next, or -1.
 * On the vCPU's own CPU, after in_guest is set, so that an interrupt that becomes pending later
 * ends the entry. */
void pveoi_before_entry(struct vcpu *v, int offered);
/* Check the flag after an exit. If the offered vector was taken, it must already be in service. */
void pveoi_after_exit(struct vcpu *v);
