/* The time-stamp counter. SDM vol. 3, 18.17. */
#pragma once

#include <kernel/lib/compiler.h>

static inline u64 rdtsc(void)
{
	u64 lo, hi;

	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return hi << 32 | lo;
}

/* Read the TSC after all earlier instructions have completed. */
static inline u64 rdtsc_ordered(void)
{
	u64 lo, hi;

	__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi)::"memory");
	return hi << 32 | lo;
}
