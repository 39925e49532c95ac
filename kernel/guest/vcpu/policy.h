/* What a guest sees of the processor: CPUID (kernel/guest/vcpu/cpuid.c) and MSRs (kernel/guest/vcpu/msr.c), as tables of
 * deliberate answers. */
#pragma once

#include <kernel/x86/cpuid.h>

struct vcpu;

struct cpuid policy_cpuid(struct vcpu *v, u32 leaf, u32 subleaf);
/* The XSAVE features that a guest may enable. */
u64 policy_xcr0(void);

/* 0, or -EINVAL for #GP. */
int __must_check policy_rdmsr(struct vcpu *v, u32 msr, u64 *value);
int __must_check policy_wrmsr(struct vcpu *v, u32 msr, u64 value);
