/* sources: */
/* Two CPUs compare their TSCs: each is a thread with a clock of its own. */
#include "test.h"

#include <kernel/core/tscsync.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>
#include <kernel/x86/tsc.h>

#include <pthread.h>
#include <time.h>

/* --- CPUs ----------------------------------------------------------------- */

static bool can_adjust;
static __thread u64 msr_adjust; /* this CPU's IA32_TSC_ADJUST */
static __thread u64 drift; /* what IA32_TSC_ADJUST does not tell */

static u64 test_tsc(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (1UL << 60) + (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec + msr_adjust + drift;
}

static struct cpuid test_cpuid(u32 leaf)
{
	return (struct cpuid){ leaf ? 0 : 7, can_adjust ? (u32)CPUID7_EBX_TSC_ADJUST : 0, 0, 0 };
}

static u64 *test_msr(u32 msr)
{
	assert_true(msr == MSR_TSC_ADJUST && can_adjust);
	return &msr_adjust;
}

#define rdtsc_ordered() test_tsc()
#define cpuid(leaf, subleaf) test_cpuid(leaf)
#define rdmsr(msr) (*test_msr(msr))
#define wrmsr(msr, value) (*test_msr(msr) = (value))
#include <kernel/core/tscsync.c>

/* --- tests ---------------------------------------------------------------- */

struct other {
	u64 adjust, drift;
	bool agrees;
};

static void *other_cpu(void *arg)
{
	struct other *o = arg;

	msr_adjust = o->adjust;
	drift = o->drift;
	o->agrees = tscsync_join();
	return NULL;
}

static enum tscsync start(u64 its_adjust, u64 its_drift)
{
	struct other o = { its_adjust, its_drift, false };
	enum tscsync r;
	pthread_t t;

	tscsync_begin();
	assert_int_equal(pthread_create(&t, NULL, other_cpu, &o), 0);
	do {
		r = tscsync_poll();
	} while (r == TSC_UNKNOWN);
	pthread_join(t, NULL);
	assert_int_equal(o.agrees, r == TSC_AGREES);
	return r;
}

#define SECOND 1000000000UL

static void without_adjust(void **state)
{
	(void)state;
	can_adjust = false;
	msr_adjust = 0;
	for (u32 i = 0; i < 100; i++)
		assert_int_equal(start(0, 0), TSC_AGREES);
	assert_int_equal(start(0, -SECOND), TSC_BEHIND);
	assert_int_equal(start(0, SECOND), TSC_AHEAD);
	assert_int_equal(start(0, 0), TSC_AGREES);
}

static void with_adjust(void **state)
{
	(void)state;
	can_adjust = true;
	msr_adjust = 5 * SECOND;
	assert_int_equal(start(5 * SECOND, 0), TSC_AGREES);
	assert_int_equal(start(0, 0), TSC_AGREES);
	assert_int_equal(start(9 * SECOND, 0), TSC_AGREES);
	assert_int_equal(start(-9 * SECOND, 0), TSC_AGREES);
	assert_int_equal(start(0, -SECOND), TSC_BEHIND);
	assert_int_equal(start(9 * SECOND, SECOND), TSC_AHEAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_adjust),
		cmocka_unit_test(with_adjust),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
