/* Time is the scaled TSC: ns = (tsc - start) * mult / 2^32, calculated in 128 bits, so that nothing
 * wraps or drifts. */
#include <kernel/core/clock.h>

#include <kernel/core/clockinit.h>
#include <kernel/core/cpu.h>
#include <kernel/core/hpet.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/pit.h>
#include <kernel/core/pmtimer.h>
#include <kernel/core/rtc.h>
#include <kernel/lib/atomic.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/tsc.h>

#define NS_PER_S 1000000000UL

static u64 tsc_hz, tsc_start;
static u64 wall_start; /* Unix time in ns when clock_ns() was 0 */
static u64 ns_mult; /* ns per tick, times 2^32; 0 until calibrated */
static u64 tsc_mult; /* ticks per ns, times 2^32 */

static u64 scale(u64 value, u64 mult)
{
	return (u64)((unsigned __int128)value * mult >> 32);
}

void clock_start(void)
{
	tsc_start = rdtsc();
}

/* --- how fast the TSC runs ------------------------------------------------ */

/* What CPUID says may be wrong by this much, measured by a timer, in thousandths. */
#define TOLERANCE 10

static u64 by_pm_timer(const struct clock_sources *s)
{
	return s->pm_timer_port ? pmtimer_measure_tsc_hz(s->pm_timer_port, s->pm_timer_bits) : 0;
}

static u64 by_hpet(const struct clock_sources *s)
{
	static volatile void *registers;

	if (s->hpet && !registers)
		registers = mmio_map(s->hpet, HPET_SIZE);
	return registers ? hpet_measure_tsc_hz(registers) : 0;
}

static u64 by_pit(const struct clock_sources *s __unused)
{
	return pit_measure_tsc_hz();
}

/* The median of three: one disturbed measurement has no effect. 0: the timer does not run, which is
 * not tried again. */
static u64 measure(u64 (*once)(const struct clock_sources *s), const struct clock_sources *s)
{
	u64 a = once(s), b = a ? once(s) : 0, c = b ? once(s) : 0;
	u64 low = MIN(a, b), high = MAX(a, b);

	if (!c)
		return 0;
	return c < low ? low : MIN(high, c);
}

/* SDM vol. 3, 20.7.3. Leaf 15H: the TSC's ratio to the crystal, and its frequency, which some
 * processors leave out. Leaf 16H: the base frequency in MHz, which is the TSC's but rounded. */
static u64 by_cpuid(bool *exact)
{
	u32 last = cpuid(0, 0).eax;
	struct cpuid ratio = { 0 };

	*exact = false;
	if (last >= 0x15)
		ratio = cpuid(0x15, 0);
	if (ratio.eax && ratio.ebx && ratio.ecx) {
		*exact = true;
		return (u64)ratio.ecx * ratio.ebx / ratio.eax;
	}
	return last >= 0x16 ? (cpuid(0x16, 0).eax & 0xffff) * 1000000UL : 0;
}

static bool is_near(u64 a, u64 b)
{
	return (a > b ? a - b : b - a) <= b / 1000 * TOLERANCE;
}

static const char *find_tsc_hz(const struct clock_sources *s)
{
	static const struct {
		u64 (*once)(const struct clock_sources *s);
		const char *name;
	} timers[] = {
		{ by_pm_timer, "measured by the ACPI timer" },
		{ by_hpet, "measured by the HPET" },
		{ by_pit, "measured by the PIT" },
	};
	bool exact;
	u64 said = by_cpuid(&exact);

	for (u32 i = 0; i < ARRAY_SIZE(timers); i++) {
		u64 hz = measure(timers[i].once, s);

		if (!hz)
			continue;
		if (exact && is_near(said, hz)) {
			tsc_hz = said;
			return "says CPUID";
		}
		if (exact)
			log_warn("clock: CPUID says that the TSC runs at %lu MHz, which is wrong",
				 said / 1000000);
		tsc_hz = hz;
		return timers[i].name;
	}
	tsc_hz = said;
	return exact ? "says CPUID; no timer runs" : "says CPUID, rounded; no timer runs";
}

bool clock_calibrate(const struct clock_sources *sources)
{
	const char *by = find_tsc_hz(sources);

	if (!tsc_hz)
		return false;
	ns_mult = (NS_PER_S << 32) / tsc_hz;
	tsc_mult = clock_mult(tsc_hz);
	log_info("clock: TSC runs at %lu.%03lu MHz, %s%s", tsc_hz / 1000000, tsc_hz / 1000 % 1000,
		 by,
		 cpuid(0x80000007, 0).edx & CPUID80000007_EDX_TSC_INVARIANT ?
			 "" :
			 "; not reported as invariant");
	return true;
}

/* --- time ----------------------------------------------------------------- */

u64 clock_ns(void)
{
	return scale(rdtsc() - tsc_start, ns_mult);
}

u64 clock_at(u64 tsc)
{
	return scale(tsc - tsc_start, ns_mult);
}

u64 clock_tsc_to_ns(u64 ticks)
{
	return scale(MIN(ticks, 1UL << 62), ns_mult);
}

void clock_read_date(void)
{
	u64 seconds = rtc_read();

	if (seconds)
		wall_start = seconds * NS_PER_S - clock_ns();
	else
		log_warn("clock: no real-time clock: guests start in 1970");
}

u64 clock_wall_ns(u64 ns)
{
	return wall_start ? wall_start + ns : 0;
}

u64 clock_ns_mult(void)
{
	return ns_mult;
}

u64 clock_tsc_hz(void)
{
	return tsc_hz;
}

u64 clock_mult(u64 hz)
{
	return ((hz / NS_PER_S) << 32) + ((hz % NS_PER_S) << 32) / NS_PER_S;
}

u64 clock_ticks_until(u64 deadline_ns, u64 mult)
{
	u64 now = clock_ns();

	if (deadline_ns <= now)
		return 0;
	/* Rounded up: a timer must not fire before its deadline. A deadline that is years away
	 * fires early, and the timer is set again. */
	return scale(MIN(deadline_ns - now, 1UL << 60), mult) + 1;
}

u64 clock_tsc_at(u64 ns)
{
	return rdtsc() + clock_ticks_until(ns, tsc_mult);
}

void clock_delay_us(u32 us)
{
	u64 start = rdtsc(), ticks = us * tsc_hz / 1000000;

	while (rdtsc() - start < ticks)
		cpu_relax();
}
