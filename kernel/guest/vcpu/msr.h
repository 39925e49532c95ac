/* The MSR policy: what a guest sees of the MSRs whose accesses exit. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;

/* Carry out RDMSR or WRMSR for this vCPU, on its own CPU, in an exit. -EINVAL: raise #GP. */
int __must_check policy_rdmsr(struct vcpu *v, u32 msr, u64 *value);
int __must_check policy_wrmsr(struct vcpu *v, u32 msr, u64 value);
