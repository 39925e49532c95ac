/* The CPUID instruction, and names of its feature bits: CPUID<leaf>_<register>_<name in the
 * manuals>. SDM vol. 2, CPUID; APM vol. 3, appendix E. */
#pragma once

#include <kernel/lib/compiler.h>

#define CPUID1_ECX_MONITOR BIT(3)
#define CPUID1_ECX_VMX BIT(5)
#define CPUID1_ECX_X2APIC BIT(21)
#define CPUID1_ECX_TSC_DEADLINE BIT(24)
#define CPUID1_ECX_XSAVE BIT(26)
#define CPUID1_ECX_OSXSAVE BIT(27)
#define CPUID1_ECX_RDRAND BIT(30)
#define CPUID1_ECX_HYPERVISOR BIT(31)
#define CPUID1_EDX_FPU BIT(0)
#define CPUID1_EDX_DE BIT(2)
#define CPUID1_EDX_PSE BIT(3)
#define CPUID1_EDX_TSC BIT(4)
#define CPUID1_EDX_PAE BIT(6)
#define CPUID1_EDX_MCE BIT(7)
#define CPUID1_EDX_CX8 BIT(8)
#define CPUID1_EDX_MCA BIT(14)
#define CPUID1_EDX_APIC BIT(9)
#define CPUID1_EDX_PGE BIT(13)
#define CPUID1_EDX_PAT BIT(16)
#define CPUID1_EDX_FXSR BIT(24)
#define CPUID1_EDX_SSE BIT(25)
#define CPUID1_EDX_HTT BIT(28)

#define CPUID7_EBX_FSGSBASE BIT(0)
#define CPUID7_EBX_TSC_ADJUST BIT(1)
#define CPUID7_EBX_BMI1 BIT(3)
#define CPUID7_EBX_SMEP BIT(7)
#define CPUID7_EBX_SMAP BIT(20)
#define CPUID7_ECX_UMIP BIT(2)
#define CPUID7_EDX_IBRS_IBPB BIT(26)
#define CPUID7_EDX_ARCH_CAPABILITIES BIT(29)

/* Leaf 0DH, subleaf 1. */
#define CPUIDD_EAX_XSAVEOPT BIT(0)
#define CPUIDD_EAX_XSAVEC BIT(1)
#define CPUIDD_EAX_XGETBV1 BIT(2)

/* Leaf 0BH: the topology. */
#define CPUIDB_EAX_SHIFT MASK(4, 0)
#define CPUIDB_ECX_LEVEL MASK(15, 8)
#define CPUIDB_LEVEL_THREAD 1
#define CPUIDB_LEVEL_CORE 2

#define CPUID_EXTENDED 0x80000000u /* the first extended leaf; EAX is the last one */

#define CPUID80000001_ECX_SVM BIT(2)
#define CPUID80000001_ECX_ABM BIT(5) /* LZCNT */
#define CPUID80000001_ECX_TOPOEXT BIT(22)
#define CPUID80000001_EDX_SYSCALL BIT(11)
#define CPUID80000001_EDX_NX BIT(20)
#define CPUID80000001_EDX_FFXSR BIT(25)
#define CPUID80000001_EDX_PAGE1GB BIT(26)
#define CPUID80000001_EDX_RDTSCP BIT(27)
#define CPUID80000001_EDX_LM BIT(29)

#define CPUID80000007_EDX_TSC_INVARIANT BIT(8)

#define CPUID80000008_EBX_IBPB BIT(12)
#define CPUID80000008_EBX_IBRS BIT(14)
#define CPUID80000008_EBX_STIBP BIT(15)
#define CPUID80000008_EBX_IBRS_ALWAYS_ON BIT(16) /* set once and kept, as the processor prefers */
#define CPUID80000008_EBX_STIBP_ALWAYS_ON BIT(17)

#define CPUID80000021_EAX_AUTO_IBRS BIT(8)

#define CPUID8000000A_EDX_NP BIT(0) /* nested paging */
#define CPUID8000000A_EDX_NRIPS BIT(3) /* an exit saves the next RIP */
#define CPUID8000000A_EDX_DECODE_ASSISTS BIT(7)

/* AMD's numbers of cores and threads (APM vol. 3, E.4.16). */
#define CPUID_AMD_CORES 0x8000001eu
#define CPUID8000001E_EBX_THREADS MASK(15, 8) /* of a core, minus 1 */

enum cpuid_register { EAX, EBX, ECX, EDX };

struct cpuid {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r;

	__asm__ volatile("cpuid"
			 : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
			 : "a"(leaf), "c"(subleaf));
	return r;
}
