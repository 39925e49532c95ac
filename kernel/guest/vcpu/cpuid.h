/* The CPUID policy: what a guest sees of the processor. */
#pragma once

#include <kernel/core/cpu.h>

struct vcpu;

/* Answer CPUID for this vCPU, on its own CPU, in an exit. */
struct cpuid policy_cpuid(struct vcpu *v, u32 leaf, u32 subleaf);
/* True if there is MSR_TSC_AUX, which RDTSCP reads: only then may Weir or a guest access it. */
bool policy_has_tsc_aux(void);
/* The XSAVE features that a guest may enable, as a mask for XCR0. */
u64 policy_xcr0(void);
