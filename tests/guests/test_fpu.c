/* The vector registers stay this guest's while others run on the same CPU: run two of these
 * there. */
#include <tests/guests/guest.h>

void test_fpu(void)
{
	u64 pattern = rdtsc() | 1, seen, bad = 0, end = rdtsc() + 300 * (tsc_khz ? tsc_khz : 2000000);
	u32 rounds = 0;

	while (rdtsc() < end) {
		pattern = pattern * 6364136223846793005UL + 1442695040888963407UL;
		__asm__ volatile("movq %0, %%xmm0; movq %0, %%xmm15; mov %0, %%db3" ::"r"(pattern));
		spin_us(3000);
		__asm__ volatile("movq %%xmm0, %0" : "=r"(seen));
		bad += seen != pattern;
		__asm__ volatile("movq %%xmm15, %0" : "=r"(seen));
		bad += seen != pattern;
		__asm__ volatile("mov %%db3, %0" : "=r"(seen));
		bad += seen != pattern;
		rounds++;
	}
	CHECK("fpu: many rounds", rounds > 5);
	CHECK_EQ("fpu: registers keep their values", bad, 0);
	__asm__ volatile("mov %0, %%db3" ::"r"(0UL));
}
