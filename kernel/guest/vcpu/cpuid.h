/* The CPUID policy: what a guest sees of the processor. */
#pragma once

#include <kernel/core/cpu.h>

struct vcpu;
struct vcpu_mode;

/* The calling CPU runs guests, too: they see only what it has, from now on. Before the first guest
 * starts, one CPU after the other. */
void policy_cpu_init(void);
/* Answer CPUID for this vCPU, on its own CPU, in an exit; the same on any CPU. */
struct cpuid policy_cpuid(struct vcpu *v, u32 leaf, u32 subleaf);
/* True if there is MSR_TSC_AUX, which RDTSCP reads: only then may Weir or a guest access it. */
bool policy_has_tsc_aux(void);
/* The bits of CR4 that vCPUs may set: those of features that policy_cpuid() offers. */
u64 policy_cr4(void);
/* The bits of EFER that a guest may set, by the same rule. */
u64 policy_efer(void);
/* False: the write to CR4 raises #GP. v is in this mode, and has its cr4_allowed. */
bool policy_cr4_is_valid(const struct vcpu *v, const struct vcpu_mode *mode, u64 value);
/* The XSAVE features that a guest may enable, as a mask for XCR0. */
u64 policy_xcr0(void);
