/* Vector and debug registers keep their values while others run on the same CPU: run two of these
 * guests there. */
#include <tests/guests/guest.h>

static void test_xsetbv(void)
{
	u64 cr4 = read_cr4();
	u32 one = 1;

	if (!(cpuid(1, 0).ecx & CPUID1_ECX_XSAVE))
		return;
	write_cr4(cr4 & ~CR4_OSXSAVE);
	TRY("xsetbv", "+a"(one) : "c"(0), "d"(0) : "memory");
	CHECK_EQ("fpu: XSETBV without CR4.OSXSAVE is #UD", caught.vector, EXC_UD);
	write_cr4(cr4 | CR4_OSXSAVE);
	TRY("xsetbv", "+a"(one) : "c"(0), "d"(0) : "memory");
	CHECK_EQ("fpu: XSETBV with it", caught.vector, NONE);
	write_cr4(cr4);
}

#define ROUNDS 100

void test_fpu(void)
{
	u64 pattern = rdtsc_ordered() | 1, seen, bad = 0;

	for (u32 round = 0; round < ROUNDS; round++) {
		pattern = pattern * 6364136223846793005UL + 1442695040888963407UL;
		__asm__ volatile("movq %0, %%xmm0; movq %0, %%xmm15" ::"r"(pattern));
		write_dr(3, pattern);
		spin_us(3000);
		__asm__ volatile("movq %%xmm0, %0" : "=r"(seen));
		bad += seen != pattern;
		__asm__ volatile("movq %%xmm15, %0" : "=r"(seen));
		bad += seen != pattern;
		bad += read_dr(3) != pattern;
	}
	CHECK_EQ("fpu: registers keep their values", bad, 0);
	write_dr(3, 0);
	test_xsetbv();
}
