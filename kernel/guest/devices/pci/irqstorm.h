/* Interrupt storms: enforces the limit of irq-limit=, by pausing functions that exceed it.
 *
 * Each interrupt costs the CPU that takes it an exit, whichever guest is running there. So Weir
 * counts the interrupts of a function, summed over all its vectors. If there are more in a time
 * window than the limit allows, the function is paused: it sends no messages until the window is
 * over, whatever its guest writes. Messages that its guest has masked count too. Meanwhile the
 * remapping unit blocks the function's entries: a device that goes on regardless, by DMA, raises
 * faults, and is quarantined if they are a flood: then the pause does not end. After the pause the
 * entries are opened, and when they have come into force, the device may send again.
 */
#pragma once

#include <kernel/core/clock.h>
#include <kernel/lib/compiler.h>

struct vfunction;

#define IRQ_WINDOWS_PER_SECOND 100u

struct irqstorm {
	/* The interrupt handlers change these two without a lock. */
	u64 window_start;
	u32 window_count;
	/* The bus's lock guards the rest. The handlers read the next two. */
	bool paused; /* its interrupts are off until the timer fires */
	u64 reopening; /* and then, until the entries of these interrupts have come into force */
	bool is_held; /* held until the timer fires (assign_hold()): it has left the bus */
	u64 paused_at;
	struct timer timer;
};

/* Set how many interrupts per second each assigned device may raise, a multiple of
 * IRQ_WINDOWS_PER_SECOND; 0: no limit. Boot. */
void irqstorm_set_limit(u32 per_second);
/* Initialise the record of f, while it is being assigned. */
void irqstorm_init(struct vfunction *f);
/* Count one interrupt, and pause the function if it exceeds the limit. Interrupt context, no lock
 * held. */
void irqstorm_count(struct vfunction *f);
/* True while f may not send because of a pause, and what arrives all the same is latched. Any
 * context. */
bool irqstorm_holds(const struct vfunction *f);
/* The entries of these interrupts (bits by virq.index) have come into force. f is on the bus, which
 * is locked. */
void irqstorm_in_force(struct vfunction *f, u64 which);
/* The function has left the bus: if it is paused, hold it until the pause is over. The bus is not
 * locked. */
void irqstorm_remove(struct vfunction *f);
