/* Work that follows an interrupt, done in bounded steps between two runs of a vCPU.
 *
 * A CPU's scheduler calls work_run() before it enters a guest or halts; each call does a few steps
 * and leaves the rest for the next, with a look at interrupts between. No vCPU is ever waited for,
 * nothing here allocates.
 */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>
#include <kernel/lib/step.h>

/* RUNNING and queued once more meanwhile: AGAIN. A piece of work is never on two CPUs at once. */
enum work_state { WORK_IDLE, WORK_QUEUED, WORK_RUNNING, WORK_AGAIN };

struct work {
	struct list link;
	/* One bounded step (some microseconds). STEP_DONE and STEP_WAIT: not again until work_queue().
	 * A step that frees the work itself calls work_forget() first. */
	enum step (*step)(struct work *w);
	u32 state; /* enum work_state */
};

void work_init(struct work *w, enum step (*step)(struct work *w));
/* Queue on this CPU; does nothing if it is queued already, and makes it run once more, where it
 * runs, if it is running. Any context but NMI. */
void work_queue(struct work *w);
/* From inside w's step: it returns to work_run() without w being looked at again. */
void work_forget(struct work *w);
/* Do some steps; true if work is left. */
bool work_run(void);
