/* See kernel/guest/devices/legacy/vpittick.h. */
#include <kernel/guest/devices/legacy/vpittick.h>

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/devices/legacy/vpitcount.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/vcpu/sched.h>

/* The shortest period, as of an APIC's timer. */
#define MIN_PERIOD_NS 20000UL
#define NEVER (~0UL)

static void disarm(struct vpit_tick *t)
{
	t->lapsed = false;
	t->due_ns = NEVER;
	timer_cancel(&t->timer);
}

static void arm(struct legacy *l, struct vcpu *v, u64 now)
{
	struct vpit_tick *t = &l->tick;

	t->lapsed = false;
	t->payer = v;
	t->due_ns = vpit_next_edge(&l->pit.channel[0], now, MIN_PERIOD_NS);
	timer_set(&t->timer, t->due_ns);
}

void vpittick_set(struct legacy *l, struct vcpu *v, u64 now)
{
	if (vpit_next_edge(&l->pit.channel[0], now, MIN_PERIOD_NS) == NEVER)
		disarm(&l->tick);
	else
		arm(l, v, now);
}

void vpittick_before_entry(struct legacy *l, struct vcpu *v)
{
	if (l->tick.lapsed && legacy_takes_edge(l, 0))
		arm(l, v, clock_ns());
	legacy_look(l);
}

void vpittick_reset(struct legacy *l)
{
	disarm(&l->tick);
}

/* On the CPU that armed it. Meanwhile another one may have armed it anew, or disarmed it. */
static void fired(struct timer *timer)
{
	struct legacy *l = container_of(timer, struct legacy, tick.timer);
	struct vpit_tick *t = &l->tick;
	struct vcpu *payer = NULL;
	u64 begin = clock_ns();

	spin_lock(&l->lock);
	if (begin >= t->due_ns) {
		t->due_ns = NEVER;
		t->lapsed = vpit_is_periodic(&l->pit.channel[0]);
		payer = t->payer;
		legacy_set_irq(l, 0, false);
		legacy_set_irq(l, 0, true);
		legacy_look(l);
	}
	spin_unlock(&l->lock);
	if (payer)
		sched_charge(payer, clock_ns() - begin);
}

void vpittick_init(struct legacy *l)
{
	timer_init(&l->tick.timer, fired);
	l->tick.due_ns = NEVER;
}

bool vpittick_stop(struct legacy *l)
{
	return timer_stop(&l->tick.timer);
}
