/* Time is the scaled TSC: ns = (tsc - start) * mult / 2^32, calculated in 128 bits, so that nothing
 * wraps or drifts. */
#include <kernel/core/clock.h>

#include <kernel/core/clockinit.h>
#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
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

/* The median of three: one disturbed measurement has no effect. */
static u64 measure(u64 (*once)(u16 port, unsigned int bits), u16 port, unsigned int bits)
{
	u64 low = once(port, bits), high = once(port, bits), third = once(port, bits), swap;

	if (!low || !high || !third)
		return 0;
	if (low > high) {
		swap = low;
		low = high;
		high = swap;
	}
	return third < low ? low : third > high ? high : third;
}

static u64 measure_pit(u16 port __unused, unsigned int bits __unused)
{
	return pit_measure_tsc_hz();
}

bool clock_calibrate(u16 pm_timer_port, unsigned int pm_timer_bits)
{
	const char *by = "the ACPI timer";

	tsc_hz = pm_timer_port ? measure(pmtimer_measure_tsc_hz, pm_timer_port, pm_timer_bits) : 0;
	if (!tsc_hz) {
		by = "the PIT";
		tsc_hz = measure(measure_pit, 0, 0);
	}
	if (!tsc_hz)
		return false;
	ns_mult = (NS_PER_S << 32) / tsc_hz;
	tsc_mult = clock_mult(tsc_hz);
	log_info("clock: TSC runs at %lu.%03lu MHz, measured by %s%s", tsc_hz / 1000000,
		 tsc_hz / 1000 % 1000, by,
		 cpuid(0x80000007, 0).edx & CPUID80000007_EDX_TSC_INVARIANT ?
			 "" :
			 "; not reported as invariant");
	return true;
}

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
