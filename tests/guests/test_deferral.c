/* What a late answer of the remapping unit costs, and whom (bench/deferral.py). One guest gives
 * pages back and takes them again; beside it, one computes, and one counts the interrupts of its
 * timer. All begin and end together: the TSC is the same for all guests. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#define FIRST 0x3000UL /* a frame at 48 MiB, which this guest does not use */
#define PAGES 4u /* fewer than the batches that a domain may have in flight */
#define BEGIN_MS 3000UL /* after power-on: all guests have started by then */
#define LENGTH_MS 2000UL
#define VECTOR 0x58
#define PERIOD_US 1000u

static u64 begin, end_of_time;

static void start_timer(void)
{
	wrmsr(X2APIC(APIC_TIMER_DIVIDE), DIVIDE_BY_1);
	wrmsr(X2APIC(APIC_LVT_TIMER), LVT_PERIODIC | VECTOR);
	wrmsr(X2APIC(APIC_TIMER_INITIAL), PERIOD_US * 1000); /* 1 GHz */
}

static void stop_timer(void)
{
	wrmsr(X2APIC(APIC_TIMER_INITIAL), 0);
	wrmsr(X2APIC(APIC_LVT_TIMER), LVT_MASKED | VECTOR);
}

static bool wait_for_begin(void)
{
	if (!under_weir || !tsc_khz) {
		lacks("deferral: needs Weir");
		return false;
	}
	begin = BEGIN_MS * tsc_khz;
	end_of_time = begin + LENGTH_MS * tsc_khz;
	CHECK("deferral: it begins in time", rdtsc_ordered() < begin);
	start_timer();
	while (rdtsc_ordered() < begin)
		halt_until_interrupt();
	stop_timer();
	return true;
}

static u64 in_us(u64 cycles)
{
	return cycles * 1000 / tsc_khz;
}

/* Calls that have ended in time, and the cycles of all calls. */
struct calls {
	u64 ended, all, cycles;
};

static bool call(struct calls *c, u64 number, u64 gfn)
{
	u64 now, before = rdtsc_ordered();
	s64 ret = hypercall(number, gfn, 1, 0);

	now = rdtsc_ordered();
	c->ended += now < end_of_time;
	c->all++;
	c->cycles += now - before;
	return ret == 1;
}

static void print_calls(const char *what, const struct calls *c)
{
	print("deferral: %s %lu, %lu us each\n", what, c->ended,
	      c->all ? in_us(c->cycles) / c->all : 0);
}

/* A page is taken again when the three others have been given back too. */
void test_deferral_give(void)
{
	struct calls released = { 0, 0, 0 }, populated = { 0, 0, 0 };
	bool ok = true;

	if (!wait_for_begin())
		return;
	for (u64 n = 0; rdtsc_ordered() < end_of_time; n++) {
		ok &= call(&released, WEIR_HC_MEM_RELEASE, FIRST + n % PAGES);
		if (n >= PAGES - 1)
			ok &= call(&populated, WEIR_HC_MEM_POPULATE, FIRST + (n + 1) % PAGES);
	}
	CHECK("deferral: each call did what it should", ok);
	print_calls("released", &released);
	print_calls("populated", &populated);
}

void test_deferral_compute(void)
{
	u64 rounds = 0;

	if (!wait_for_begin())
		return;
	while (rdtsc() < end_of_time)
		rounds++;
	print("deferral: computed %lu rounds\n", rounds);
}

/* The timer's interrupts wake this guest; while its CPU is kept from it, some are lost. */
void test_deferral_ticks(void)
{
	u64 last, now, longest = 0;
	u32 before;

	if (!wait_for_begin())
		return;
	before = taken[VECTOR];
	start_timer();
	last = rdtsc_ordered();
	while (last < end_of_time) {
		halt_until_interrupt();
		now = rdtsc_ordered();
		longest = MAX(longest, now - last);
		last = now;
	}
	stop_timer();
	print("deferral: took %u ticks, at most %lu us late\n", taken[VECTOR] - before,
	      in_us(longest) - PERIOD_US);
}
