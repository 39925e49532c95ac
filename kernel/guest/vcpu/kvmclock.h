/* KVM's paravirtual clock (Linux: Documentation/virt/kvm/x86/cpuid.rst, msr.rst). It tells
 * unmodified kernels the TSC's frequency and the time, since a guest has no PIT, HPET or PM timer.
 * The CPUID leaves from KVM_CPUID_BASE report KVM's signature, and no features but the clock's, PV
 * EOI (kernel/guest/vcpu/pveoi.h) and "no I/O delay needed". */
#pragma once

#include <kernel/x86/cpuid.h>

struct vcpu;

#define KVM_CPUID_BASE 0x40000100u
#define KVM_CPUID_LAST (KVM_CPUID_BASE + 1)
/* Answer one of these leaves. */
struct cpuid kvmclock_cpuid(u32 leaf);

/* Read or write MSR_KVM_SYSTEM_TIME or MSR_KVM_WALL_CLOCK, by their old or new numbers. A write
 * tells Weir where in the guest's memory to store the time. -EINVAL: raise #GP. On the vCPU's own
 * CPU. */
u64 kvmclock_read_msr(const struct vcpu *v, u32 msr);
int __must_check kvmclock_write_msr(struct vcpu *v, u32 msr, u64 value);
/* The guest has set its TSC: store the time again, if the guest asked for it. */
void kvmclock_update(struct vcpu *v);
