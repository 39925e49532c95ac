/* See kernel/lib/rangeset.h. */
#include <kernel/lib/rangeset.h>

#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

void rangeset_init(struct rangeset *s, const char *name, struct range *storage, u32 max)
{
	*s = (struct rangeset){ .name = name, .range = storage, .max = max };
}

/* The first range that ends at or after `value`; s->nr if there is none. */
static u32 find_range(const struct rangeset *s, u64 value)
{
	u32 lo = 0, hi = s->nr;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (s->range[mid].last < value)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Replace `old` ranges from index i on by the `new` ones. The caller has checked the room. */
static void replace_ranges(struct rangeset *s, u32 i, u32 old, const struct range *new, u32 nr_new)
{
	memmove(&s->range[i + nr_new], &s->range[i + old],
		(s->nr - i - old) * sizeof(struct range));
	for (u32 k = 0; k < nr_new; k++)
		s->range[i + k] = new[k];
	s->nr = s->nr - old + nr_new;
}

int rangeset_add(struct rangeset *s, u64 first, u64 last)
{
	struct range joined = { first, last };
	u32 i, end;

	if (first > last)
		return 0;
	/* What overlaps or touches: ranges that end at first - 1 or later and start at last + 1 or
	 * earlier. */
	i = find_range(s, first ? first - 1 : 0);
	for (end = i; end < s->nr && (last == ~0UL || s->range[end].first <= last + 1); end++) {
		joined.first = MIN(joined.first, s->range[end].first);
		joined.last = MAX(joined.last, s->range[end].last);
	}
	if (end == i && s->nr == s->max)
		return -ENOSPC;
	replace_ranges(s, i, end - i, &joined, 1);
	return 0;
}

int rangeset_remove(struct rangeset *s, u64 first, u64 last)
{
	struct range rest[2];
	u32 i, end, nr = 0;
	int err = 0;

	if (first > last)
		return 0;
	i = find_range(s, first);
	for (end = i; end < s->nr && s->range[end].first <= last; end++)
		;
	if (end == i)
		return 0;
	if (s->range[i].first < first)
		rest[nr++] = (struct range){ s->range[i].first, first - 1 };
	if (s->range[end - 1].last > last)
		rest[nr++] = (struct range){ last + 1, s->range[end - 1].last };
	if (nr > end - i && s->nr == s->max) {
		u32 lost = rest[0].last - rest[0].first < rest[1].last - rest[1].first ? 0 : 1;

		rest[0] = rest[!lost];
		nr = 1;
		err = -ENOSPC;
	}
	replace_ranges(s, i, end - i, rest, nr);
	return err;
}

bool rangeset_overlaps(const struct rangeset *s, u64 first, u64 last)
{
	u32 i = find_range(s, first);

	return first <= last && i < s->nr && s->range[i].first <= last;
}

u64 rangeset_count(const struct rangeset *s)
{
	u64 n = 0;

	rangeset_for_each(r, s)
		n += r->last - r->first + 1;
	return n;
}
