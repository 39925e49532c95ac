/* sources: */
/* How fast the TSC runs: which of a machine's timers is asked, and what it costs if one stands
 * still. */
#include "test.h"

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
#include <kernel/lib/string.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/io.h>
#include <kernel/x86/tsc.h>

/* --- a machine ------------------------------------------------------------ */

#define TSC_HZ 2500000000UL

/* Each access of a timer takes a microsecond. */
static u64 now_ns;
static u32 accesses;
static bool pm_runs, pit_runs, hpet_runs;
static u32 last_leaf, leaf_15[3], leaf_16;
static u64 hpet[HPET_SIZE / 8];

static u64 test_rdtsc(void)
{
	return now_ns * (TSC_HZ / 100000000) / 10;
}

static u64 access_timer(u64 hz, bool runs)
{
	accesses++;
	now_ns += 1000;
	return runs ? now_ns / 1000 * hz / 1000000 : 77;
}

static u32 test_inl(u16 port)
{
	assert_int_equal(port, 0x608);
	return (u32)access_timer(3579545, pm_runs) & 0xffffff;
}

static u64 pit_start;

static u8 test_inb(u16 port)
{
	u64 ticks = access_timer(1193182, pit_runs) - pit_start;

	assert_int_equal(port, 0x61);
	return pit_runs && ticks >= 11931 ? 0x20 : 0;
}

static void test_outb(u16 port, u8 value)
{
	(void)value;
	if (port == 0x42)
		pit_start = now_ns / 1000 * 1193182 / 1000000;
}

static struct cpuid test_cpuid(u32 leaf)
{
	if (leaf == 0)
		return (struct cpuid){ .eax = last_leaf };
	if (leaf == 0x15)
		return (struct cpuid){ leaf_15[0], leaf_15[1], leaf_15[2], 0 };
	if (leaf == 0x16)
		return (struct cpuid){ .eax = leaf_16 };
	return (struct cpuid){ 0, 0, 0, 0 };
}

/* The counter of the HPET moves when it is looked at. */
static void test_relax(void)
{
	u32 count = (u32)access_timer(10000000, hpet_runs && ((u32 *)hpet)[4] & 1);

	((u32 *)hpet)[0xf0 / 4] = count;
}

#define rdtsc() test_rdtsc()
#define inb(port) test_inb(port)
#define inl(port) test_inl(port)
#define outb(port, value) test_outb(port, value)
#define cpuid(leaf, subleaf) test_cpuid(leaf)
#define cpu_relax() test_relax()
#include <kernel/core/pit.c>
#undef TICKS
#undef MAX_POLLS
#include <kernel/core/pmtimer.c>
#undef TICKS
#undef MAX_POLLS
#include <kernel/core/hpet.c>
#include <kernel/core/clock.c>

static char said[256];
static u32 warnings;

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	warnings += level == LOG_WARN;
	va_start(ap, fmt);
	vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
}

volatile void *mmio_map(paddr_t pa, size_t size)
{
	assert_int_equal(pa, 0xfed00000);
	assert_true(size <= sizeof(hpet));
	return hpet;
}

u64 rtc_read(void)
{
	return 0;
}

/* --- tests ---------------------------------------------------------------- */

static const struct clock_sources all = { 0x608, 24, 0xfed00000 };

static bool calibrate(const char *by)
{
	bool found;

	memset(hpet, 0, sizeof(hpet));
	((u32 *)hpet)[1] = 100000000; /* 100 ns */
	accesses = warnings = 0;
	*said = 0;
	tsc_hz = 0;
	found = clock_calibrate(&all);
	if (!strstr(said, by))
		fail_msg("\"%s\" is not in \"%s\"", by, said);
	/* The HPET is as it was. */
	assert_int_equal(((u32 *)hpet)[4], 0);
	assert_true(!found || is_near(clock_tsc_hz(), TSC_HZ));
	return found;
}

static int setup(void **state)
{
	(void)state;
	pm_runs = pit_runs = hpet_runs = true;
	last_leaf = 0xd;
	return 0;
}

static void one_after_the_other(void **state)
{
	(void)state;
	assert_true(calibrate("the ACPI timer"));
	pm_runs = false;
	assert_true(calibrate("the HPET"));
	hpet_runs = false;
	assert_true(calibrate("the PIT"));
	pit_runs = false;
	assert_false(calibrate(""));
	/* None runs: that costs less than two seconds. */
	assert_true(accesses < 2000000);
	/* Rounded to MHz is better than nothing. */
	last_leaf = 0x16;
	leaf_16 = 2500;
	assert_true(calibrate("says CPUID, rounded"));
}

static void a_pit_that_stands_still(void **state)
{
	(void)state;
	pit_runs = false;
	accesses = 0;
	assert_int_equal(by_pit(&all), 0);
	assert_true(accesses <= 400001);
}

static void the_crystal(void **state)
{
	(void)state;
	last_leaf = 0x16;
	leaf_15[0] = 2, leaf_15[1] = 200, leaf_15[2] = 25000000;
	assert_true(calibrate("says CPUID"));
	assert_int_equal(clock_tsc_hz(), TSC_HZ);
	/* Without its frequency, or with a wrong one, a timer is right. */
	leaf_15[2] = 0;
	assert_true(calibrate("the ACPI timer"));
	leaf_15[2] = 24000000;
	assert_true(calibrate("the ACPI timer"));
	assert_int_equal(warnings, 1);
	pm_runs = hpet_runs = pit_runs = false;
	leaf_15[2] = 25000000;
	assert_true(calibrate("no timer runs"));
	assert_int_equal(clock_tsc_hz(), TSC_HZ);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_after_the_other, setup),
		cmocka_unit_test_setup(a_pit_that_stands_still, setup),
		cmocka_unit_test_setup(the_crystal, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
