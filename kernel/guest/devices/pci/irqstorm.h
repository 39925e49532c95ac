/* Storms of interrupts: the limit of irq-limit=, and pauses of the functions that exceed it.
 *
 * Each interrupt costs the CPU that takes it an exit, whichever guest runs there. So the interrupts
 * of a function are counted, all its vectors together. If there are more in a window of time than
 * the limit allows, the function is paused: none of its messages goes out until the window is over,
 * whatever its guest writes.
 */
#pragma once

#include <kernel/core/clock.h>
#include <kernel/lib/compiler.h>

struct vfunction;

#define IRQ_WINDOWS_PER_SECOND 100u

struct irqstorm {
	/* Handlers change the window and its count without a lock. */
	u64 window_start;
	u32 window_count;
	/* The bus's lock guards the rest. */
	bool paused; /* its interrupts are off until the timer fires */
	bool is_held; /* by the timer: the function has left the bus (assign_hold()) */
	u64 paused_at;
	struct timer timer;
};

/* How many interrupts a second each domain's device may raise, in multiples of
 * IRQ_WINDOWS_PER_SECOND; 0: any number. Boot. */
void irqstorm_set_limit(u32 per_second);
void irqstorm_init(struct vfunction *f);
/* One interrupt came. Begins a pause if it was one too many. Interrupt context, no lock held. */
void irqstorm_count(struct vfunction *f);
/* The function has left the bus: if it is paused, it is held until the pause is over. */
void irqstorm_remove(struct vfunction *f);
