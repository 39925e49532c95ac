/* Ticket spin lock.
 *
 * Weir runs with interrupts disabled everywhere but in guest mode, in the idle halt, and at
 * irq_window(); so no lock has an "irqsave" form, and an interrupt handler can never meet a lock
 * that its own CPU holds.
 */
#pragma once

#include <kernel/lib/atomic.h>
#include <kernel/lib/compiler.h>

struct spinlock {
	u16 next;
	u16 owner;
};

/* clang-format off */
#define SPINLOCK_INIT { 0, 0 }
/* clang-format on */

static inline void spin_lock(struct spinlock *l)
{
	u16 me = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);

	while (unlikely(load_acquire(&l->owner) != me))
		cpu_relax();
}

static inline void spin_unlock(struct spinlock *l)
{
	store_release(&l->owner, (u16)(l->owner + 1));
}

/* The caller holds this lock; debug builds check it. */
#define assert_locked(l) ((void)(l))
