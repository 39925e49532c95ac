/* What CPUID answers on all CPUs that run guests. A vCPU may move to any of them, and a domain's
 * vCPUs must not differ. */
#pragma once

#include <kernel/x86/cpuid.h>

/* The calling CPU runs guests, too: keep only what it has. Before the first guest starts, one CPU
 * after the other. */
void cpuid_common_add(void);
/* Features are those that all CPUs have, limits the smallest; names and caches are the first CPU's.
 * Zero for a leaf that no guest sees. CPUID is not executed. */
struct cpuid cpuid_common(u32 leaf, u32 subleaf);
/* Log which features guests do not get because a CPU lacks them. */
void cpuid_common_report(void);
