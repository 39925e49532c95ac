/* sources: kernel/guest/devices/legacy/vpittick.c kernel/guest/devices/legacy/vpitcount.c */
/* How often the timer of a PC interrupts its CPU, whatever count the guest writes. */
#include "test.h"

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/devices/legacy/vpitcount.h>
#include <kernel/guest/vcpu/sched.h>

static struct legacy legacy;
static u64 now, charges;
static u32 raised;
static bool is_pending;

void legacy_set_irq(struct legacy *l, u32 irq, bool level)
{
	(void)l;
	assert_int_equal(irq, 0);
	raised += level;
	is_pending |= level;
}

bool legacy_takes_edge(const struct legacy *l, u32 irq)
{
	(void)l, (void)irq;
	return !is_pending;
}

void legacy_look(struct legacy *l)
{
	(void)l;
}

void sched_charge(struct vcpu *v, u64 ns)
{
	(void)v, (void)ns;
	charges++;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
	t->armed = false;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
	t->deadline_ns = deadline_ns;
	t->armed = true;
}

void timer_cancel(struct timer *t)
{
	t->armed = false;
}

bool timer_stop(struct timer *t)
{
	t->armed = false;
	return true;
}

u64 clock_ns(void)
{
	return now;
}

static void begin(u8 mode, u32 count)
{
	static struct vcpu *const payer = (void *)8;
	struct vpit_channel *c = &legacy.pit.channel[0];

	now = 1000000;
	raised = 0;
	charges = 0;
	is_pending = false;
	memset(&legacy, 0, sizeof(legacy));
	spin_init(&legacy.lock, LOCK_LEGACY);
	vpittick_init(&legacy);
	c->gate = true;
	vpit_set_mode(c, mode, VPIT_BOTH);
	(void)vpit_write_count(c, (u8)count, now);
	(void)vpit_write_count(c, (u8)(count >> 8), now);
	vpittick_set(&legacy, payer, now);
}

/* Let the time pass, with entries of a guest that takes each interrupt. */
static void run(u64 ns, bool takes)
{
	static struct vcpu *const payer = (void *)8;

	for (u64 end = now + ns; now < end; now += 500) {
		struct timer *t = &legacy.tick.timer;

		if (t->armed && t->deadline_ns <= now) {
			t->armed = false;
			t->fn(t);
		}
		is_pending &= !takes;
		vpittick_before_entry(&legacy, payer);
	}
}

static void rates(void **state)
{
	(void)state;
	begin(2, 11932); /* 10 ms */
	run(1000000000, true);
	assert_in_range(raised, 99, 101);
	assert_int_equal(charges, raised);
	begin(3, 0); /* 18.2 Hz */
	run(1000000000, true);
	assert_in_range(raised, 17, 19);
	begin(0, 1000);
	run(100000000, true);
	assert_int_equal(raised, 1);
	begin(1, 1000); /* its gate never has an edge */
	run(100000000, true);
	assert_int_equal(raised, 0);
}

static void bounds(void **state)
{
	(void)state;
	begin(2, 1);
	run(10000000, true);
	assert_in_range(raised, 400, 500); /* 20 us each */
	/* While it is pending there is nothing to raise. */
	begin(2, 1);
	run(10000000, false);
	assert_int_equal(raised, 1);
	assert_false(legacy.tick.timer.armed);
}

/* The function runs late, when the timer is armed for later, or not at all. */
static void stale(void **state)
{
	(void)state;
	begin(2, 11932);
	legacy.tick.timer.fn(&legacy.tick.timer);
	assert_int_equal(raised, 0);
	vpittick_reset(&legacy);
	now += 1000000000;
	legacy.tick.timer.fn(&legacy.tick.timer);
	assert_int_equal(raised, 0);
	assert_true(vpittick_stop(&legacy));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rates),
		cmocka_unit_test(bounds),
		cmocka_unit_test(stale),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
