/* Ticket spin lock.
 *
 * Weir runs with interrupts disabled everywhere but in guest mode, in the idle halt, and at
 * irq_window(); so no lock has an "irqsave" form, and an interrupt handler can never meet a lock
 * that its own CPU holds.
 *
 * Each lock has a class, which is its place in the order of all locks (kernel/core/lockorder.h).
 */
#pragma once

#include <kernel/core/lockorder.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/compiler.h>

#ifdef WEIR_DEBUG
#include <kernel/core/panic.h>
#endif

struct spinlock {
	u16 next;
	u16 owner;
#ifdef WEIR_DEBUG
	enum lock_class class;
	struct lock_holder *holder; /* the CPU that holds it; NULL: none */
#endif
};

/* An unlocked lock of this class: for a static one, and for one in a structure. */
/* clang-format off */
#ifdef WEIR_DEBUG
#define SPINLOCK_INIT(lock_class) { 0, 0, lock_class, NULL }
#else
#define SPINLOCK_INIT(lock_class) { 0, 0 }
#endif
#define spin_init(l, lock_class) ((void)(*(l) = (struct spinlock)SPINLOCK_INIT(lock_class)))
/* clang-format on */

static inline void spin_lock(struct spinlock *l)
{
	u16 me;

#ifdef WEIR_DEBUG
	lock_check_order(l);
#endif
	me = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED);
	while (unlikely(load_acquire(&l->owner) != me))
		cpu_relax();
#ifdef WEIR_DEBUG
	lock_taken(l);
#endif
}

static inline void spin_unlock(struct spinlock *l)
{
#ifdef WEIR_DEBUG
	lock_released(l);
#endif
	store_release(&l->owner, (u16)(l->owner + 1));
}

/* The first statement of a function whose caller must hold this lock: debug builds panic if the
 * calling CPU does not. */
#ifdef WEIR_DEBUG
#define assert_locked(l)                                                                           \
	do {                                                                                       \
		if (unlikely(!lock_held(l)))                                                       \
			panic("%s:%d: %s is not held", __FILE__, __LINE__,                         \
			      lock_class_name((l)->class));                                        \
	} while (0)
#else
#define assert_locked(l) ((void)(l))
#endif
