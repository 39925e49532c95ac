/* Which processors are threads of one core. */
#include <kernel/core/topology.h>

#include <kernel/x86/cpuid.h>

bool topology_thread_bits(unsigned int *bits)
{
	u32 threads;

	*bits = 0;
	if (cpuid(0, 0).eax >= 0xb) {
		struct cpuid leaf = cpuid(0xb, 0);

		if (FIELD_GET(CPUIDB_ECX_LEVEL, leaf.ecx) == CPUIDB_LEVEL_THREAD) {
			*bits = (unsigned int)FIELD_GET(CPUIDB_EAX_SHIFT, leaf.eax);
			return true;
		}
	}
	if (cpuid(CPUID_EXTENDED, 0).eax < CPUID_AMD_CORES ||
	    !(cpuid(CPUID_EXTENDED + 1, 0).ecx & CPUID80000001_ECX_TOPOEXT))
		/* HTT: the package has more than one of something, cores perhaps. */
		return !(cpuid(1, 0).edx & CPUID1_EDX_HTT);
	threads = (u32)FIELD_GET(CPUID8000001E_EBX_THREADS, cpuid(CPUID_AMD_CORES, 0).ebx) + 1;
	while (1u << *bits < threads)
		(*bits)++;
	return true;
}
