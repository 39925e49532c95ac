/* Memory ordering and atomic operations: short names for the compiler's builtins, which
 * ThreadSanitizer understands in host builds. */
#pragma once

#include <kernel/lib/types.h>

#define barrier() __asm__ volatile("" ::: "memory")
/* Full barrier: stores before it are visible before loads after it. */
#define smp_mb() __atomic_thread_fence(__ATOMIC_SEQ_CST)

#define read_once(p) __atomic_load_n(p, __ATOMIC_RELAXED)
#define write_once(p, v) __atomic_store_n(p, v, __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define atomic_add(p, v) __atomic_add_fetch(p, v, __ATOMIC_SEQ_CST)
#define atomic_sub(p, v) __atomic_sub_fetch(p, v, __ATOMIC_SEQ_CST)
#define atomic_or(p, v) __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST)
#define atomic_and(p, v) __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST)
#define atomic_xchg(p, v) __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST)

/* Store desired in *p if *p equals *expected, and return true. Otherwise *expected gets the value
 * of *p. */
#define atomic_cmpxchg(p, expected, desired)                                                       \
	__atomic_compare_exchange_n(p, expected, desired, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)

#ifdef WEIR_HOST
#define HOST_SPINS 10000
int sched_yield(void);
#endif

static inline void cpu_relax(void)
{
#ifdef WEIR_HOST
	static __thread unsigned int spins;

	/* The thread that holds the lock may not be running. But whoever yields on a busy machine
	 * waits for all others, and a test of a poll comes here a million times. */
	if (!(++spins % HOST_SPINS))
		sched_yield();
#else
	__builtin_ia32_pause();
#endif
}
