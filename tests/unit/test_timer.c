/* sources: kernel/core/timer.c */
/* The timers of a CPU: what one interrupt of the hardware handles. */
#include "test.h"

#include <kernel/core/clock.h>
#include <kernel/core/clockinit.h>
#include <kernel/core/cpu.h>
#include <kernel/core/irq.h>
#include <kernel/core/lapic.h>

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct cpu cpu;
static u64 now, programmed;
static void (*interrupt)(void *arg);

/* --- the machine ---------------------------------------------------------- */

u64 clock_ns(void)
{
	return now;
}

u64 clock_tsc_at(u64 ns)
{
	return ns;
}

u64 clock_ticks_until(u64 deadline_ns, u64 mult)
{
	(void)mult;
	return deadline_ns;
}

u64 clock_mult(u64 hz)
{
	return hz;
}

u64 clock_tsc_hz(void)
{
	return 1000000000;
}

void clock_delay_us(u32 us)
{
	(void)us;
}

bool lapic_has_tsc_deadline(void)
{
	return true;
}

void lapic_timer_deadline(u64 tsc)
{
	programmed = tsc;
}

void lapic_timer_start(u32 count)
{
	(void)count;
}

u32 lapic_timer_count(void)
{
	return 0;
}

void irq_set_fixed(int vector, void (*handler)(void *arg), void *arg)
{
	(void)arg;
	assert_int_equal(vector, VECTOR_TIMER);
	interrupt = handler;
}

/* --- tests ---------------------------------------------------------------- */

static u32 calls;

static void count(struct timer *t)
{
	(void)t;
	calls++;
	now += 10;
}

static void again_at_once(struct timer *t)
{
	count(t);
	if (calls > 1000)
		fail_msg("one interrupt has called 1,000 functions");
	timer_set(t, now);
}

static void again_in_the_past(struct timer *t)
{
	count(t);
	if (calls > 1000)
		fail_msg("one interrupt has called 1,000 functions");
	timer_set(t, 1);
}

static void begin(void)
{
	cpu.self = &cpu;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu), 0);
	assert_true(timer_init_system());
	now = 1000;
	calls = 0;
	programmed = 0;
}

/* Each timer that is due is handled once, even if its function sets it again, and the hardware is
 * set for what is left. */
static void ends_whatever_is_set(void **state)
{
	void (*const functions[])(struct timer *t) = { again_at_once, again_in_the_past };

	(void)state;
	for (u32 f = 0; f < ARRAY_SIZE(functions); f++) {
		struct timer t[3], later;

		begin();
		for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
			timer_init(&t[i], functions[f]);
			timer_set(&t[i], now + i);
		}
		timer_init(&later, count);
		timer_set(&later, now + 1000000);
		now += 5;
		interrupt(NULL);
		assert_true(calls <= ARRAY_SIZE(t));
		assert_true(programmed && programmed <= now);
		for (u32 i = 0; i < ARRAY_SIZE(t); i++)
			timer_cancel(&t[i]);
		interrupt(NULL);
		assert_int_equal(programmed, later.deadline_ns);
		timer_cancel(&later);
	}
}

static void in_order(void **state)
{
	struct timer t[10];

	(void)state;
	begin();
	for (u32 i = 0; i < ARRAY_SIZE(t); i++) {
		timer_init(&t[i], count);
		timer_set(&t[i], 2000 + (i * 7 % 10) * 100);
	}
	assert_int_equal(programmed, 2000);
	for (now = 2000; now < 3000; now = 2000 + calls * 100) {
		u32 before = calls;

		interrupt(NULL);
		assert_int_equal(calls, before + 1);
	}
	assert_int_equal(calls, ARRAY_SIZE(t));
	assert_int_equal(programmed, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_whatever_is_set),
		cmocka_unit_test(in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
