/* sources: kernel/core/background.c */
/* Background work on two CPUs: by those that have nothing else to do, and if there is none, a step
 * now and then. */
#include "test.h"

#include <asm/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <kernel/core/background.h>
#include <kernel/core/clock.h>
#include <kernel/core/cpu.h>
#include <kernel/core/irq.h>
#include <kernel/core/work.h>
#include <kernel/mm/alloc.h>

#define STEPS 16384u /* 16 GiB, by 1 MiB */

static struct cpu cpu[2];
u32 nr_cpus = 2;
static u32 kicks[2], taken[2]; /* interrupts sent to each CPU; steps that it has taken */
static u32 ended_in_step; /* items that have ended since interrupts were last taken */
static u64 now;
static struct timer *armed;
static struct work *queued;

/* The code that follows runs on this CPU: this_cpu() reads GS. */
static void on(u32 id)
{
	cpu[id].self = &cpu[id];
	cpu[id].id = id;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu[id]), 0);
}

/* --- what it calls -------------------------------------------------------- */

void irq_send(u32 id, int vector)
{
	assert_int_equal(vector, VECTOR_KICK);
	kicks[id]++;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	*t = (struct timer){ .fn = fn };
}

void timer_set(struct timer *t, u64 deadline_ns)
{
	assert_true(!armed || armed == t);
	assert_true(deadline_ns > now);
	t->deadline_ns = deadline_ns;
	armed = t;
}

void alloc_step_begins(void)
{
}

void alloc_step_ends(void)
{
}

u64 clock_ns(void)
{
	return now;
}

void work_init(struct work *w, enum step (*step)(struct work *w))
{
	*w = (struct work){ .step = step };
}

void work_queue(struct work *w)
{
	queued = w;
}

/* --- the machine ---------------------------------------------------------- */

/* Time passes on CPU 0, where the timer is, until it fires. Returns how many items of deferred work
 * a guest there must wait for. */
static u32 tick(void)
{
	struct timer *t = armed;
	u32 n = 0;

	assert_non_null(t);
	on(0);
	now = t->deadline_ns;
	armed = NULL;
	t->fn(t);
	for (; queued; n++) {
		struct work *w = queued;

		queued = NULL;
		do
			ended_in_step = 0;
		while (w->step(w) == STEP_MORE);
	}
	return n;
}

static u32 left;

static enum step count_step(struct background *b)
{
	(void)b;
	taken[this_cpu()->id]++;
	assert_true(left > 0);
	return --left ? STEP_MORE : STEP_DONE;
}

static void begin(struct background *b, u32 steps)
{
	memset(taken, 0, sizeof(taken));
	memset(kicks, 0, sizeof(kicks));
	left = steps;
	on(0);
	background_init(b, count_step, true);
	background_queue(b, steps);
}

static void end(struct background *b)
{
	assert_false(background_busy(b));
	assert_false(background_run());
	while (armed)
		assert_int_equal(tick(), 0);
}

/* CPU 0 runs a guest that never sleeps; CPU 1 has nothing to do. The guest on CPU 0 loses nothing
 * but a timer's tick now and then. */
static void the_idle_one_does_all(void **state)
{
	struct background b;

	(void)state;
	begin(&b, STEPS);
	assert_int_equal(kicks[1], 1);
	assert_int_equal(kicks[0], 0);
	assert_true(background_busy(&b));
	while (left) {
		/* Some 100 us each. */
		on(1);
		for (u32 i = 0; i < 20 && left; i++)
			assert_true(background_run());
		if (left)
			assert_int_equal(tick(), 0);
	}
	assert_int_equal(taken[0], 0);
	assert_int_equal(taken[1], STEPS);
	end(&b);
}

/* Both run guests that never sleep: a step each period, and no more. */
static void none_is_idle(void **state)
{
	struct background b;
	u64 from = now, before, after;

	(void)state;
	begin(&b, 500);
	(void)background_steps(&before);
	while (left)
		assert_in_range(tick(), 0, 1);
	assert_int_equal(taken[0], 500);
	(void)background_steps(&after);
	assert_int_equal(after - before, 500);
	assert_in_range((now - from) / BACKGROUND_PERIOD_NS, 500, 1001);
	end(&b);
}

/* A step of the idle CPU that takes several periods, as one that types 1 GiB of frames does. */
static enum step long_step(struct background *b)
{
	(void)b;
	for (u32 i = 0; i < 5; i++)
		assert_int_equal(tick(), 0);
	on(1);
	return --left ? STEP_MORE : STEP_DONE;
}

/* CPU 1 halts while CPU 0 is in a step of the only item: it is woken for the next one. */
static void halt_through_ticks(void)
{
	for (u32 i = 0; i < 3; i++) {
		u32 before = kicks[1];

		assert_int_equal(tick(), 0);
		assert_int_equal(kicks[1], before + 1);
	}
	on(1);
}

static void the_idle_one_is_woken(void **state)
{
	struct background b;

	(void)state;
	begin(&b, 10);
	assert_int_equal(tick(), 0); /* sees the steps of the tests before */
	on(1);
	background_wait(halt_through_ticks);
	assert_int_equal(taken[0], 0);
	while (left)
		assert_true(background_run());
	end(&b);
}

static void the_idle_one_takes_long(void **state)
{
	struct background b;

	(void)state;
	begin(&b, 10);
	b.step = long_step;
	while (left) {
		on(1);
		assert_true(background_run());
	}
	end(&b);
}

static enum step wait_step(struct background *b)
{
	(void)b;
	return STEP_WAIT;
}

/* An item that comes first, and each time only looks whether it can go on, takes nobody's step. */
static void one_that_waits(void **state)
{
	struct background waiter, b;
	u32 ticks = 0;

	(void)state;
	background_init(&waiter, wait_step, false);
	begin(&b, 100);
	while (left) {
		on(0);
		background_queue(&waiter, 0);
		(void)tick();
		assert_true(++ticks <= 201);
	}
	end(&b);
}

static enum step end_step(struct background *b)
{
	(void)b;
	taken[0]++;
	assert_int_equal(ended_in_step++, 0);
	return STEP_DONE;
}

/* The last step of an item may be as long as any other: interrupts are taken after each. */
static void some_that_end(void **state)
{
	struct background b[3];

	(void)state;
	memset(taken, 0, sizeof(taken));
	on(0);
	for (u32 i = 0; i < ARRAY_SIZE(b); i++) {
		background_init(&b[i], end_step, true);
		background_queue(&b[i], i);
	}
	while (background_busy(&b[2]))
		(void)tick();
	assert_int_equal(taken[0], ARRAY_SIZE(b));
	end(&b[2]);
}

/* --- several items -------------------------------------------------------- */

static struct background outer;
static bool parallel;
static u32 depth, deepest;

/* While one CPU is in a step, the other one looks for something to do. */
static enum step nested_step(struct background *b)
{
	assert_ptr_equal(b, &outer);
	deepest = MAX(deepest, ++depth);
	if (depth == 1) {
		on(1);
		assert_int_equal(background_run(), parallel);
		assert_false(background_cancel(b));
		on(0);
	}
	depth--;
	return STEP_MORE;
}

static void by_one_or_by_all(void **state)
{
	(void)state;
	for (u32 i = 0; i < 2; i++) {
		parallel = i;
		deepest = 0;
		on(0);
		background_init(&outer, nested_step, parallel);
		background_queue(&outer, 1);
		assert_true(background_run());
		assert_int_equal(deepest, parallel ? 2 : 1);
		/* It was cancelled in its step: it is free once that has ended. */
		assert_true(background_cancel(&outer));
		end(&outer);
	}
}

static struct background small, large;
static char order[8];
static u32 nr_order;

static enum step note_step(struct background *b)
{
	order[nr_order++] = b == &small ? 's' : 'l';
	return b == &small || nr_order > 4 ? STEP_DONE : STEP_MORE;
}

/* The cheapest comes first, whichever was queued first. */
static void cheapest_first(void **state)
{
	(void)state;
	on(0);
	background_init(&small, note_step, false);
	background_init(&large, note_step, false);
	background_queue(&large, 100);
	assert_true(background_run());
	background_queue(&small, 10);
	while (background_run())
		;
	assert_string_equal(order, "lslll");
	end(&small);
}

static struct background again;
static u32 runs;

static enum step again_step(struct background *b)
{
	if (!runs++)
		background_queue(b, 0);
	return STEP_WAIT;
}

/* What is queued during its last step runs once more. */
static void queued_in_its_step(void **state)
{
	(void)state;
	on(0);
	background_init(&again, again_step, false);
	background_queue(&again, 0);
	while (background_run())
		;
	assert_int_equal(runs, 2);
	end(&again);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_idle_one_does_all), cmocka_unit_test(the_idle_one_takes_long),
		cmocka_unit_test(the_idle_one_is_woken), cmocka_unit_test(none_is_idle),
		cmocka_unit_test(one_that_waits),	 cmocka_unit_test(some_that_end),
		cmocka_unit_test(by_one_or_by_all),	 cmocka_unit_test(cheapest_first),
		cmocka_unit_test(queued_in_its_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
