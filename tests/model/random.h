/* Random numbers that a seed repeats: xorshift64*, one stream a thread. */
#pragma once

#include <kernel/types.h>

extern _Thread_local u64 random_state;

static inline void random_seed(u64 seed)
{
	random_state = (seed + 1) * 0x9e3779b97f4a7c15UL | 1;
}

static inline u64 random64(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1dUL;
}

/* 0 .. n - 1. */
static inline u64 below(u64 n)
{
	return (random64() >> 16) % n;
}

static inline bool one_in(u64 n)
{
	return !below(n);
}
