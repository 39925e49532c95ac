/* A bystander of the attacks (test_attack.c): it uses its CPU without ever yielding it, and prints
 * what others take from it. A line per interval says how many rounds it made, which share of the
 * time its own instructions are (with `-icount shift=0`, where an instruction takes a count of the
 * TSC), and how many host interrupts ended its guest mode. It begins when the attackers have had
 * time to prepare, since nobody of lower priority runs while it does; or, with the group
 * "watch-now", at once, and ends sooner. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#define VECTOR 0x56
#define WAIT_MS 1000u
#define INTERVAL_MS 200u
#define INTERVALS 20u
#define INTERVALS_NOW 3u
#define ROUND 20000u /* instructions */

static struct weir_stats stats __aligned(PAGE_SIZE);

static u64 interrupts_so_far(void)
{
	(void)hypercall(WEIR_HC_STATS, (u64)&stats, sizeof(stats), 0);
	return stats.exits[WEIR_EXIT_INTERRUPT];
}

static void sleep_ms(u64 ms)
{
	u64 end = rdtsc_ordered() + ms * tsc_khz;

	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	wrmsr(X2APIC(APIC_LVT_TIMER), LVT_PERIODIC | VECTOR);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 20000000); /* of 1 ns */
	while (rdtsc_ordered() < end)
		halt_until_interrupt();
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 0);
}

static void make_a_round(void)
{
	u32 n = ROUND / 2;

	__asm__ volatile("1: decl %0; jnz 1b" : "+r"(n));
}

static void watch(u32 intervals)
{
	print("watch: begins\n");
	for (u32 i = 0; i < intervals; i++) {
		u64 interrupts = interrupts_so_far(), begin = rdtsc_ordered(), rounds = 0, took;

		do {
			make_a_round();
			rounds++;
			took = rdtsc_ordered() - begin;
		} while (took < INTERVAL_MS * tsc_khz);
		print("watch: %lu rounds, %lu of 1000, %lu interrupts\n", rounds,
		      rounds * ROUND * 1000 / took, interrupts_so_far() - interrupts);
	}
	print("watch: ends\n");
}

void test_watch(void)
{
	sleep_ms(WAIT_MS);
	watch(INTERVALS);
}

void test_watch_now(void)
{
	watch(INTERVALS_NOW);
}
