/* See kernel/core/background.h. */
#include <kernel/core/background.h>

#include <kernel/core/clock.h>
#include <kernel/core/cpu.h>
#include <kernel/core/irq.h>
#include <kernel/core/irqoff.h>
#include <kernel/core/spinlock.h>
#include <kernel/core/work.h>
#include <kernel/lib/atomic.h>
#include <kernel/mm/alloc.h>

/* Guards the list, and what the items say that it guards. */
static struct spinlock background_lock = SPINLOCK_INIT(LOCK_BACKGROUND);
static struct list items = LIST_INIT(items); /* cheapest first */

/* The pace for busy CPUs: a timer, on the CPU that queued the first item. */
static struct timer pace;
static struct work pace_work;
static bool pacing; /* under background_lock: the timer is armed, or about to be */
static u64 steps, steps_seen; /* taken by all CPUs; at the timer's last tick */
static u64 paced; /* of them, by CPUs that were not idle */
/* CPUs that have nothing else to do: in a step, and halted. */
static u32 idle_at_work, idle_halted;

static void insert(struct background *b)
{
	struct list *at = items.next;

	assert_locked(&background_lock);
	while (at != &items && list_entry(at, struct background, link)->cost <= b->cost)
		at = at->next;
	list_add_tail(at, &b->link);
	b->queued = true;
}

static void remove(struct background *b)
{
	list_del(&b->link);
	b->queued = false;
}

/* The first item that may have one more CPU. */
static struct background *take(void)
{
	struct background *b, *found = NULL;

	spin_lock(&background_lock);
	list_for_each(b, &items, link)
		if (b->parallel || !b->users) {
			found = b;
			found->users++;
			found->again = false;
			break;
		}
	spin_unlock(&background_lock);
	return found;
}

/* Take a step. False: there is none to take. *more: the item has more to do. */
static bool run_one(bool *more)
{
	struct background *b = take();
	enum step ret;

	if (!b)
		return false;
	alloc_step_begins();
	ret = b->step(b);
	alloc_step_ends();
	irqoff_part((const void *)b->step);
	(void)atomic_add(&steps, 1);
	spin_lock(&background_lock);
	b->users--;
	if (ret != STEP_MORE && b->queued && !b->again)
		remove(b);
	spin_unlock(&background_lock);
	*more = ret == STEP_MORE;
	return true;
}

bool background_run(void)
{
	bool more, done;

	(void)atomic_add(&idle_at_work, 1);
	done = run_one(&more);
	(void)atomic_sub(&idle_at_work, 1);
	return done;
}

void background_wait(void (*wait)(void))
{
	(void)atomic_add(&idle_halted, 1);
	wait();
	(void)atomic_sub(&idle_halted, 1);
}

/* A CPU that is about to halt finds the interrupt pending. */
static void wake_others(void)
{
	for (u32 cpu = 0; cpu < nr_cpus; cpu++)
		if (cpu != this_cpu()->id)
			irq_send(cpu, VECTOR_KICK);
}

/* --- when no CPU is idle -------------------------------------------------- */

/* An item that only looked whether it can go on must not keep the others from their step: the
 * builder looks once a millisecond. Each look is a step of its own, since an item's last step may
 * be as long as any other. */
#define LOOKS 4

static enum step pace_step(struct work *w __unused)
{
	static u32 looks;
	bool more = false;

	if (run_one(&more)) {
		(void)atomic_add(&paced, 1);
		if (!more && ++looks < LOOKS)
			return STEP_MORE;
	}
	looks = 0;
	return STEP_DONE;
}

static void pace_tick(struct timer *t)
{
	u64 now = read_once(&steps);
	bool empty;

	spin_lock(&background_lock);
	empty = list_empty(&items);
	pacing = !empty;
	spin_unlock(&background_lock);
	if (empty)
		return;
	/* A step may take longer than a period. One that is halted has found the item taken. */
	if (now == steps_seen && !read_once(&idle_at_work)) {
		if (read_once(&idle_halted))
			wake_others();
		else
			work_queue(&pace_work);
	}
	steps_seen = now;
	timer_set(t, clock_ns() + BACKGROUND_PERIOD_NS);
}

/* --- the list ------------------------------------------------------------- */

void background_init(struct background *b, enum step (*step)(struct background *b), bool parallel)
{
	*b = (struct background){ .step = step, .parallel = parallel };
	list_init(&b->link);
}

void background_queue(struct background *b, u64 cost)
{
	bool first, start;

	spin_lock(&background_lock);
	first = !b->queued;
	start = !pacing;
	b->again = true;
	b->cost = cost;
	if (first)
		insert(b);
	if (start && !pace.fn) {
		timer_init(&pace, pace_tick);
		work_init(&pace_work, pace_step);
	}
	pacing = true;
	spin_unlock(&background_lock);
	if (start)
		timer_set(&pace, clock_ns() + BACKGROUND_PERIOD_NS);
	if (first)
		wake_others();
}

bool background_cancel(struct background *b)
{
	bool free;

	spin_lock(&background_lock);
	if (b->queued)
		remove(b);
	free = !b->users;
	spin_unlock(&background_lock);
	return free;
}

u64 background_steps(u64 *by_busy_cpus)
{
	*by_busy_cpus = read_once(&paced);
	return read_once(&steps);
}

bool background_busy(struct background *b)
{
	bool busy;

	spin_lock(&background_lock);
	busy = b->queued || b->users;
	spin_unlock(&background_lock);
	return busy;
}
