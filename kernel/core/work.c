/* Queues of deferred work, one per CPU. */
#include <kernel/core/work.h>

#include <kernel/core/cpu.h>
#include <kernel/core/irq.h>
#include <kernel/core/irqoff.h>
#include <kernel/core/panic.h>
#include <kernel/lib/atomic.h>
#include <kernel/mm/alloc.h>

/* Steps done by one call of work_run(). */
#define STEPS_PER_RUN 8

/* Each is used only by its own CPU, with interrupts off, so there is no lock. */
static struct list queues[MAX_CPUS];
static struct work *running[MAX_CPUS]; /* the item whose step is running */

static struct list *my_queue(void)
{
	struct list *q = &queues[this_cpu()->id];

	if (!q->next)
		list_init(q);
	return q;
}

void work_init(struct work *w, enum step (*step)(struct work *w))
{
	list_init(&w->link);
	w->step = step;
	w->state = WORK_IDLE;
}

static void append(struct work *w)
{
	list_add_tail(my_queue(), &w->link);
	write_once(&this_cpu()->work_pending, true);
}

void work_queue(struct work *w)
{
	u32 state = load_acquire(&w->state);

	for (;;) {
		u32 next = state == WORK_IDLE ? WORK_QUEUED : WORK_AGAIN;

		if (state == WORK_QUEUED || state == WORK_AGAIN)
			return;
		if (atomic_cmpxchg(&w->state, &state, next))
			break;
	}
	if (state == WORK_IDLE)
		append(w);
}

void work_forget(struct work *w)
{
	BUG_ON(running[this_cpu()->id] != w);
	running[this_cpu()->id] = NULL;
}

/* Do one step of the first item. */
static void run_first(struct list *q)
{
	struct work *w = list_first(q, struct work, link);
	struct work **current = &running[this_cpu()->id];
	enum step (*step)(struct work *w) = w->step;
	u32 expected = WORK_RUNNING;
	bool done;

	list_del(&w->link);
	store_release(&w->state, WORK_RUNNING);
	*current = w;
	alloc_step_begins();
	done = step(w) != STEP_MORE;
	alloc_step_ends();
	irqoff_part((const void *)step);
	if (!*current)
		return;
	*current = NULL;
	if (done && atomic_cmpxchg(&w->state, &expected, WORK_IDLE))
		return;
	store_release(&w->state, WORK_QUEUED);
	append(w);
}

bool work_run(void)
{
	struct list *q = my_queue();
	u32 n;

	/* Interrupts do not wait for a step and what came before it, nor for a step and what
	 * follows. */
	for (n = 0; n < STEPS_PER_RUN && !list_empty(q); n++) {
		irq_window();
		run_first(q);
	}
	if (n)
		irq_window();
	write_once(&this_cpu()->work_pending, !list_empty(q));
	return !list_empty(q);
}
