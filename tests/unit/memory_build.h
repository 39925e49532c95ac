/* Builds a domain's memory in a test, and does background work as one CPU that has nothing else to
 * do. */
#pragma once

#include <kernel/core/background.h>
#include <kernel/core/irq.h>
#include <kernel/guest/memory/clear.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/populate.h>
#include <kernel/mm/alloc.h>

static struct list background_items = LIST_INIT(background_items);

void background_init(struct background *b, enum step (*step)(struct background *b), bool parallel)
{
	*b = (struct background){ .step = step, .parallel = parallel };
	list_init(&b->link);
}

void background_queue(struct background *b, u64 cost)
{
	b->cost = cost;
	if (!b->queued)
		list_add_tail(&background_items, &b->link);
	b->queued = true;
}

bool background_cancel(struct background *b)
{
	list_del(&b->link);
	b->queued = false;
	return !b->users;
}

bool background_busy(struct background *b)
{
	return b->queued || b->users;
}

bool background_run(void)
{
	struct background *b;

	if (list_empty(&background_items))
		return false;
	b = list_first(&background_items, struct background, link);
	b->users++;
	alloc_step_begins();
	if (b->step(b) != STEP_MORE)
		(void)background_cancel(b);
	alloc_step_ends();
	b->users--;
	irq_window();
	return true;
}

static inline int clear_all(struct memory *m)
{
	memory_clear_start(m);
	while (memory_is_clearing(m))
		(void)background_run();
	return 0;
}

static inline int memory_build(struct memory *m, u64 bytes)
{
	int ret = memory_build_begin(m, bytes);
	gfn_t gfn = 0;

	if (ret)
		return ret;
	while ((ret = memory_build_step(m, &gfn)) == STEP_MORE)
		irq_window();
	return ret ? ret : clear_all(m);
}
