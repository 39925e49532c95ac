/* Long work that keeps no guest waiting: clearing memory, building domains.
 *
 * A CPU that has no work item and no vCPU that can run takes a step of the cheapest item; all such
 * CPUs share one that allows it. If no CPU is idle for a while, one takes a step nevertheless, each
 * BACKGROUND_PERIOD_NS, so that a guest that never sleeps does not stop the work of others.
 * Interrupts are taken after each step. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>
#include <kernel/lib/step.h>

#define BACKGROUND_PERIOD_NS 2000000UL

struct background {
	struct list link;
	/* One bounded step, with no lock held; it may take interrupts. After STEP_DONE and
	 * STEP_WAIT it is not called again until background_queue(). */
	enum step (*step)(struct background *b);
	bool parallel; /* several CPUs may take steps at once */
	bool queued; /* all below: under the lock of the list */
	bool again; /* queued while it was taking a step that may be its last */
	u64 cost; /* the item with the lowest is first */
	u32 users; /* CPUs that are taking a step */
};

void background_init(struct background *b, enum step (*step)(struct background *b), bool parallel);
/* Have steps taken until one returns STEP_DONE or STEP_WAIT. Any context. */
void background_queue(struct background *b, u64 cost);
/* Take it off the list. True if no CPU is in one of its steps: then it may be freed. */
bool background_cancel(struct background *b);
/* How many steps all CPUs have taken, and those of them that were not idle. */
u64 background_steps(u64 *by_busy_cpus);
/* True if it is on the list, or a CPU is in one of its steps. */
bool background_busy(struct background *b);
/* For a CPU that has nothing else to do: take one step of an item. False: there is none. No lock
 * held. */
bool background_run(void);
/* The same CPU has found none: it halts in wait() until its next interrupt. */
void background_wait(void (*wait)(void));
