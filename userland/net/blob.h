/* The stream of GET /blob: xorshift64* (Vigna). The state x starts as the seed (as 1 if that is 0).
 * For each word: x ^= x >> 12; x ^= x << 25; x ^= x >> 27; word = x * 2685821657736338717 (modulo
 * 2^64). Words are sent with their least significant byte first. */
#pragma once

#include <kernel/lib/compiler.h>

struct blob {
	u64 state;
};

static inline struct blob blob_begin(u64 seed)
{
	return (struct blob){ seed ? seed : 1 };
}

static inline void blob_fill(struct blob *b, u64 *words, size_t nr)
{
	u64 x = b->state;

	for (size_t i = 0; i < nr; i++) {
		x ^= x >> 12;
		x ^= x << 25;
		x ^= x >> 27;
		words[i] = x * 2685821657736338717UL;
	}
	b->state = x;
}
