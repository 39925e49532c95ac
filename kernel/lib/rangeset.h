/* A set of 64-bit numbers (addresses, frame numbers) kept as sorted, disjoint, non-adjacent ranges
 * in an array that the caller provides; nothing is allocated. Both ends of a range are included, so
 * the set can reach to 2^64 - 1.
 *
 * There is no lock; callers must exclude each other.
 */
#pragma once

#include <kernel/lib/compiler.h>

struct range {
	u64 first, last;
};

struct rangeset {
	const char *name; /* for the message when it is full */
	struct range *range;
	u32 nr, max;
};

/* An empty set over max ranges of storage. */
void rangeset_init(struct rangeset *s, const char *name, struct range *storage, u32 max);
/* Add [first, last]; first > last adds nothing. -ENOSPC if it needs one more range than there are:
 * the set is unchanged then. */
int __must_check rangeset_add(struct rangeset *s, u64 first, u64 last);
/* Take [first, last] out. What was asked for is out in any case; -ENOSPC if a hole in the middle of
 * a range needed one more range than there are: the smaller of the two remains was given up
 * then. */
int rangeset_remove(struct rangeset *s, u64 first, u64 last);
/* True if any number of [first, last] is in the set. */
bool rangeset_overlaps(const struct rangeset *s, u64 first, u64 last);
/* How many numbers are in it (2^64 reads as 0). */
u64 rangeset_count(const struct rangeset *s);

#define rangeset_for_each(r, s)                                                                    \
	for (const struct range *r = (s)->range; r < (s)->range + (s)->nr; r++)
