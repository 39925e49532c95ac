/* Cache lines, and ordering beyond what x86 keeps by itself (kernel/lib/atomic.h has the rest). */
#pragma once

#include <kernel/lib/compiler.h>

/* Bytes; the line of every CPU with VT-d. */
#define CACHE_LINE 64UL

/* Write back the line that p lies in, and drop it. */
static inline void clflush(const void *p)
{
	__asm__ volatile("clflush %0" ::"m"(*(const char *)p) : "memory");
}

/* Loads, stores and CLFLUSH before it are globally visible before any load or store after it. */
static inline void mfence(void)
{
	__asm__ volatile("mfence" ::: "memory");
}

/* No instruction after it starts before those in front of it have completed. */
static inline void lfence(void)
{
	__asm__ volatile("lfence" ::: "memory");
}
