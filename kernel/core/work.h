/* Work that follows an interrupt, done in bounded steps between two runs of a vCPU.
 *
 * A CPU's scheduler calls work_run() before it enters a guest or halts. Each call does a few steps
 * and leaves the rest for the next call; interrupts are taken before and after each step. Nothing
 * here waits for a vCPU or allocates memory. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>
#include <kernel/lib/step.h>

/* AGAIN: it was queued again while it was running. No item is ever on two CPUs at once. */
enum work_state { WORK_IDLE, WORK_QUEUED, WORK_RUNNING, WORK_AGAIN };

struct work {
	struct list link;
	/* One bounded step (some microseconds). After STEP_DONE and STEP_WAIT it is not called
	 * again until work_queue(). A step that frees the item itself calls work_forget() first. */
	enum step (*step)(struct work *w);
	u32 state; /* enum work_state */
};

void work_init(struct work *w, enum step (*step)(struct work *w));
/* Queue it on this CPU. If it is queued already, nothing happens; if it is running, it runs once
 * more on the CPU where it runs. Any context except NMI. */
void work_queue(struct work *w);
/* Called by w's step: work_run() does not touch w after the step returns. */
void work_forget(struct work *w);
/* Do some steps, and take interrupts before and after each; true if work is left. No lock may be
 * held. */
bool work_run(void);
