/* The CPUID policy: what a guest sees of the processor. */
#pragma once

#include <kernel/core/cpu.h>
#include <kernel/x86/cpuid.h>

struct vcpu;
struct vcpu_mode;

#define CPUID_LAST_STANDARD 0xd
#define CPUID_LAST_EXTENDED 0x80000008u

/* The leaves up to CPUID_LAST_STANDARD whose answer depends on the vCPU or on ECX: 1, 7, 0BH and
 * 0DH. Of the extended ones, it is the last. */
#define CPUID_STANDARD_VARYING (BIT(1) | BIT(7) | BIT(0xb) | BIT(0xd))

/* What CPUID answers to all vCPUs, by leaf: standard ones, and extended ones. */
struct cpuid_answers {
	struct cpuid standard[CPUID_LAST_STANDARD + 1];
	struct cpuid extended[CPUID_LAST_EXTENDED - CPUID_EXTENDED + 1];
};
extern struct cpuid_answers cpuid_answers;

/* The calling CPU runs guests, too: they see only what it has, from now on. Before the first guest
 * starts, one CPU after the other. */
void policy_cpu_init(void);
/* The answer to a leaf, if it is the same for all vCPUs and any ECX; otherwise NULL. */
static inline const struct cpuid *policy_cpuid_fixed(u32 leaf)
{
	if (leaf <= CPUID_LAST_STANDARD && !(CPUID_STANDARD_VARYING & BIT(leaf)))
		return &cpuid_answers.standard[leaf];
	if (leaf >= CPUID_EXTENDED && leaf < CPUID_LAST_EXTENDED)
		return &cpuid_answers.extended[leaf - CPUID_EXTENDED];
	return NULL;
}

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
