/* Timers. Each CPU has one list, sorted by deadline; its hardware timer is always set for the
 * first. A CPU has few timers (one per vCPU and a few of Weir's own), so nothing is faster than a
 * list. */
#include <kernel/core/clock.h>
#include <kernel/core/clockinit.h>
#include <kernel/core/cpu.h>
#include <kernel/core/irq.h>
#include <kernel/core/lapic.h>
#include <kernel/core/log.h>
#include <kernel/core/panic.h>
#include <kernel/core/spinlock.h>
#include <kernel/x86/tsc.h>

struct timer_queue {
	struct spinlock lock; /* guards the list and its timers; their functions run without it */
	struct list timers;
	const struct timer *running; /* its function runs; only a number, it may be freed there */
};

static struct timer_queue queues[MAX_CPUS];
static u64 lapic_mult; /* of the count-down timer: see clock_mult() */

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	list_init(&t->link);
	t->fn = fn;
	t->armed = false;
	t->deadline_ns = 0;
	t->cpu = 0;
}

/* Set the hardware of this CPU to the first deadline. */
static void program_timer(struct timer_queue *q)
{
	u64 ticks;
	struct timer *first = list_first(&q->timers, struct timer, link);

	assert_locked(&q->lock);
	if (list_empty(&q->timers)) {
		if (lapic_has_tsc_deadline())
			lapic_timer_deadline(0);
		else
			lapic_timer_start(0);
		return;
	}
	if (lapic_has_tsc_deadline()) {
		lapic_timer_deadline(clock_tsc_at(first->deadline_ns));
		return;
	}
	/* If the deadline is beyond the counter's range, the interrupt comes early, finds nothing
	 * to do, and starts the counter again. */
	ticks = clock_ticks_until(first->deadline_ns, lapic_mult) + 1;
	lapic_timer_start((u32)MIN(ticks, 0xffffffffUL));
}

/* Lock the queue that t is on. */
static struct timer_queue *lock_queue_of(struct timer *t)
{
	for (;;) {
		struct timer_queue *q = &queues[read_once(&t->cpu)];

		spin_lock(&q->lock);
		if (q == &queues[read_once(&t->cpu)])
			return q;
		spin_unlock(&q->lock);
	}
}

void timer_cancel(struct timer *t)
{
	struct timer_queue *q = lock_queue_of(t);

	list_del(&t->link);
	t->armed = false;
	/* The hardware stays as it is: an occasional needless interrupt costs less than a write for
	 * every cancelled timer. */
	spin_unlock(&q->lock);
}

bool timer_stop(struct timer *t)
{
	bool runs = false;

	timer_cancel(t);
	for (u32 i = 0; i < MAX_CPUS; i++) {
		spin_lock(&queues[i].lock);
		runs |= queues[i].running == t;
		spin_unlock(&queues[i].lock);
	}
	return !runs;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
	u32 cpu = this_cpu()->id;
	struct timer_queue *q = &queues[cpu], *old = lock_queue_of(t);
	struct list *at;

	list_del(&t->link);
	t->armed = false;
	if (unlikely(old != q)) {
		spin_unlock(&old->lock);
		spin_lock(&q->lock);
		write_once(&t->cpu, cpu);
	}
	t->deadline_ns = deadline_ns;
	for (at = q->timers.next; at != &q->timers; at = at->next)
		if (list_entry(at, struct timer, link)->deadline_ns > deadline_ns)
			break;
	list_add_tail(at, &t->link);
	t->armed = true;
	if (q->timers.next == &t->link)
		program_timer(q);
	spin_unlock(&q->lock);
}

static u32 count_due(const struct timer_queue *q, u64 now)
{
	u32 nr = 0;

	for (const struct list *at = q->timers.next; at != &q->timers; at = at->next)
		nr += list_entry(at, struct timer, link)->deadline_ns <= now;
	return nr;
}

/* Handles what is due now. What becomes due meanwhile, such as a timer that its function sets again
 * for the past, raises an interrupt of its own, so that this one ends. */
static void timer_interrupt(void *arg __unused)
{
	struct timer_queue *q = &queues[this_cpu()->id];
	u64 now = clock_ns();

	spin_lock(&q->lock);
	for (u32 nr = count_due(q, now); nr && !list_empty(&q->timers); nr--) {
		struct timer *t = list_first(&q->timers, struct timer, link);

		if (t->deadline_ns > now)
			break;
		list_del(&t->link);
		t->armed = false;
		q->running = t;
		spin_unlock(&q->lock);
		t->fn(t);
		spin_lock(&q->lock);
		q->running = NULL;
	}
	program_timer(q);
	spin_unlock(&q->lock);
}

bool timer_init_system(void)
{
	u64 start, ticks, hz;
	u32 count;

	for (u32 i = 0; i < MAX_CPUS; i++) {
		spin_init(&queues[i].lock, LOCK_TIMER);
		list_init(&queues[i].timers);
	}
	irq_set_fixed(VECTOR_TIMER, timer_interrupt, NULL);
	if (lapic_has_tsc_deadline()) {
		log_info("clock: timers by TSC deadline");
		return true;
	}
	lapic_timer_start(~0u);
	start = rdtsc();
	clock_delay_us(10000);
	count = ~0u - lapic_timer_count();
	ticks = rdtsc() - start;
	lapic_timer_start(0);
	hz = count * clock_tsc_hz() / ticks;
	if (!hz)
		return false;
	lapic_mult = clock_mult(hz);
	log_info("clock: timers by the local APIC at %lu.%03lu MHz", hz / 1000000,
		 hz / 1000 % 1000);
	return true;
}
