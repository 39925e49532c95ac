/* What a guest sees of CPUID: a table of deliberate answers. */
#pragma once

#include <kernel/core/cpu.h>

struct vcpu;

struct cpuid policy_cpuid(struct vcpu *v, u32 leaf, u32 subleaf);
/* The XSAVE features that a guest may enable. */
u64 policy_xcr0(void);
