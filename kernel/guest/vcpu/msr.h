/* What a guest sees of the MSRs that exit: a table of deliberate answers. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;

/* 0, or -EINVAL for #GP. */
int __must_check policy_rdmsr(struct vcpu *v, u32 msr, u64 *value);
int __must_check policy_wrmsr(struct vcpu *v, u32 msr, u64 value);
