/* KVM's paravirtual clock (Linux: Documentation/virt/kvm/x86/cpuid.rst, msr.rst), the interface by
 * which stock kernels learn the TSC's frequency and the time where there is no PIT, HPET or PM
 * timer. CPUID leaves from KVM_CPUID_BASE on carry KVM's signature and these features only. */
#pragma once

#include <kernel/x86/cpuid.h>

struct vcpu;

#define KVM_CPUID_BASE 0x40000100u
#define KVM_CPUID_LAST (KVM_CPUID_BASE + 1)
struct cpuid kvmclock_cpuid(u32 leaf);

/* MSR_KVM_SYSTEM_TIME_NEW or MSR_KVM_WALL_CLOCK_NEW. */
u64 kvmclock_read_msr(const struct vcpu *v, u32 msr);
/* The guest says where in its memory the time is to be put. -EINVAL: #GP. */
int __must_check kvmclock_write_msr(struct vcpu *v, u32 msr, u64 value);
/* Its TSC was set. */
void kvmclock_update(struct vcpu *v);
