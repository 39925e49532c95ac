/* Cache lines, and memory ordering that x86 does not provide by itself (kernel/lib/atomic.h has the
 * rest). */
#pragma once

#include <kernel/lib/compiler.h>

/* In bytes. The same on every CPU with VT-d. */
#define CACHE_LINE 64UL

/* Write back and invalidate the cache line that contains p. */
static inline void clflush(const void *p)
{
	__asm__ volatile("clflush %0" ::"m"(*(const char *)p) : "memory");
}

/* Write back and invalidate all caches of this CPU. */
static inline void wbinvd(void)
{
	__asm__ volatile("wbinvd" ::: "memory");
}

/* Loads, stores and CLFLUSH before it are globally visible before any load or store after it. */
static inline void mfence(void)
{
	__asm__ volatile("mfence" ::: "memory");
}

/* No later instruction starts before all earlier ones have completed. */
static inline void lfence(void)
{
	__asm__ volatile("lfence" ::: "memory");
}
