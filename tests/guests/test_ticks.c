/* A bystander: it counts its timer's interrupts, measures the longest time between two of them, and
 * checks that its memory, FPU, debug registers and MSRs stay unchanged. Prints a line per
 * second. */
#include <tests/guests/guest.h>

#define VECTOR 0x55
#define PERIOD_US 10000u
#define TICKS_A_LINE 100u

#define MEMORY ((volatile u64 *)0x800000)
#define WORDS (4u << 20 >> 3)

static const u32 msrs[] = { MSR_STAR, MSR_LSTAR, MSR_KERNEL_GS_BASE, MSR_TSC_AUX };

static u64 word(u64 i)
{
	return (i + 1) * 0x9e3779b97f4a7c15;
}

static void set_registers(void)
{
	u64 a = word(1), b = word(2);

	__asm__ volatile("movq %0, %%xmm3; movq %1, %%xmm15" ::"r"(a), "r"(b));
	write_dr(0, a);
	write_dr(3, b);
	for (u32 i = 0; i < ARRAY_SIZE(msrs); i++)
		wrmsr(msrs[i], 0x1000 + i);
}

static u32 wrong_registers(void)
{
	u64 xmm[2], dr[2] = { read_dr(0), read_dr(3) };
	u32 wrong = 0;

	__asm__ volatile("movq %%xmm3, %0; movq %%xmm15, %1" : "=r"(xmm[0]), "=r"(xmm[1]));
	for (u32 i = 0; i < 2; i++)
		wrong += (xmm[i] != word(i + 1)) + (dr[i] != word(i + 1));
	for (u32 i = 0; i < ARRAY_SIZE(msrs); i++)
		wrong += rdmsr(msrs[i]) != 0x1000 + i;
	return wrong;
}

/* Check one piece at a time, so that no tick is missed meanwhile. */
static u32 wrong_words(u64 piece)
{
	u64 nr = WORDS / TICKS_A_LINE, from = piece * nr;
	u32 wrong = 0;

	for (u64 i = from; i < from + nr; i++)
		wrong += MEMORY[i] != word(i);
	return wrong;
}

void test_ticks(void)
{
	u64 last, longest = 0;
	u32 wrong = 0, seen = 0;

	for (u64 i = 0; i < WORDS; i++)
		MEMORY[i] = word(i);
	set_registers();
	taken[VECTOR] = 0;
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	wrmsr(X2APIC(APIC_LVT_TIMER), LVT_PERIODIC | VECTOR);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), PERIOD_US * 1000); /* 1 GHz */
	last = rdtsc_ordered();
	for (;;) {
		u64 now, gap;

		halt_until_interrupt();
		if (taken[VECTOR] == seen)
			continue;
		now = rdtsc_ordered();
		gap = (now - last) * 1000 / tsc_khz;
		longest = gap > longest ? gap : longest;
		last = now;
		wrong += wrong_registers() + wrong_words(seen % TICKS_A_LINE);
		seen = taken[VECTOR];
		if (!(seen % TICKS_A_LINE))
			print("ticks %u, longest gap %lu us, wrong %u\n", seen, longest, wrong);
	}
}
