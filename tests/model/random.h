/* Random numbers that a seed reproduces: xorshift64*, one stream per thread; or, while there is
 * one, a script of bytes, so that a fuzzer can choose them. */
#pragma once

#include <kernel/lib/types.h>

extern _Thread_local u64 random_state;
extern _Thread_local const u8 *random_script, *random_script_end;

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
	u64 v = 0;

	for (u64 most = n - 1; random_script != random_script_end; most >>= 8) {
		v = v << 8 | *random_script++;
		if (most < 256)
			return v % n;
	}
	return (random64() >> 16) % n;
}

static inline bool one_in(u64 n)
{
	return !below(n);
}
