/* Work that follows an interrupt, done in bounded steps between two runs of a vCPU.
 *
 * A CPU's scheduler calls work_run() before it enters a guest or halts; each call does a few steps and leaves the rest
 * for the next, with a look at interrupts between. No vCPU is ever waited for, nothing here allocates.
 */
#pragma once

#include <kernel/compiler.h>
#include <kernel/list.h>

struct work {
	struct list link;
	/* One bounded step (some microseconds). True: done. False: call again later. */
	bool (*step)(struct work *w);
	bool queued;
};

void work_init(struct work *w, bool (*step)(struct work *w));
/* Queue on this CPU; does nothing if it is queued already. Any context. */
void work_queue(struct work *w);
/* Do some steps; true if work is left. */
bool work_run(void);
