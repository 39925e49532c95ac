/* The order of all locks, and the checks that debug builds make of it.
 *
 * A CPU that holds locks may only take one whose class comes after the classes of all of them. Two
 * locks of one class are never held together. The table in docs/architecture.md says what each
 * guards; tests/unit/test_lockorder.c compares the two.
 *
 * A debug build (WEIR_DEBUG) stops with a panic that names both locks when a lock is taken out of
 * order, and one that names the lock when it has no class, or is unlocked by a CPU that does not
 * hold it. A release build contains none of this.
 */
#pragma once

#include <kernel/lib/compiler.h>

/* Outermost first: the constant, and the lock's name in the source. */
#define LOCK_ORDER(X)                                                                              \
	X(LOCK_VPCI, "vpci.lock")                                                                  \
	X(LOCK_VVIRTIO, "vvirtio.lock")                                                            \
	X(LOCK_POOL, "pool.lock")                                                                  \
	X(LOCK_NESTED, "nested.lock")                                                              \
	X(LOCK_DEVICES, "devices_lock")                                                            \
	X(LOCK_REGISTRY, "registry_lock")                                                          \
	X(LOCK_IOMMU_DOMAIN, "iommu_domain.lock")                                                  \
	X(LOCK_CONTEXT, "context_lock")                                                            \
	X(LOCK_IRTE, "irte_lock")                                                                  \
	X(LOCK_QUEUE, "iommu_queue.lock")                                                          \
	X(LOCK_LATE_LINE, "line.lock")                                                             \
	X(LOCK_CONFIG, "config_lock")                                                              \
	X(LOCK_PAGING, "paging_lock")                                                              \
	X(LOCK_SLAB, "slab_lock")                                                                  \
	X(LOCK_ALLOC, "alloc_lock")                                                                \
	X(LOCK_ASSIGN, "assign_lock")                                                              \
	X(LOCK_BUS, "bus.lock")                                                                    \
	X(LOCK_DOMAIN, "domain.lock")                                                              \
	X(LOCK_DOMAINS, "domains_lock")                                                            \
	X(LOCK_IRQ, "irq_lock")                                                                    \
	X(LOCK_VUART, "vuart.lock")                                                                \
	X(LOCK_GUESTCONSOLE, "guestconsole.lock")                                                  \
	X(LOCK_LEGACY, "legacy.lock")                                                              \
	X(LOCK_BACKGROUND, "background_lock")                                                      \
	X(LOCK_SCHED, "sched.lock")                                                                \
	X(LOCK_CONSOLE, "console_lock")                                                            \
	X(LOCK_TIMER, "timer_queue.lock")                                                          \
	X(LOCK_LOG, "log_lock")

enum lock_class {
	LOCK_UNSET, /* of a lock that nobody has initialised */
#define LOCK_CLASS(class, name) class,
	LOCK_ORDER(LOCK_CLASS)
#undef LOCK_CLASS
		NR_LOCK_CLASSES
};

#ifdef WEIR_DEBUG
struct spinlock;

/* The lock's name; "?" for a number that is no class. */
const char *lock_class_name(enum lock_class class);
/* The calling CPU is about to take l. Panics if it may not. */
void lock_check_order(const struct spinlock *l);
/* It has taken l; it is about to unlock l, or panics if it does not hold l. */
void lock_taken(struct spinlock *l);
void lock_released(struct spinlock *l);
/* True if the calling CPU holds l. */
bool lock_held(const struct spinlock *l);
#endif
