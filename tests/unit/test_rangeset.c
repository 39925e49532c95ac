/* sources: kernel/lib/rangeset.c */
/* Range sets against a plain array of booleans, at both ends of the 64-bit numbers, with ample and
 * with scarce storage. */
#include "test.h"

#include <kernel/lib/errno.h>
#include <kernel/lib/rangeset.h>

static bool contains(const struct rangeset *s, u64 value)
{
	return rangeset_overlaps(s, value, value);
}

#define UNIVERSE 200

static struct range storage[UNIVERSE];
static bool in[UNIVERSE];

static void check(const struct rangeset *s, u64 base)
{
	u64 count = 0;
	u32 nr = 0;

	for (u64 i = 0; i < UNIVERSE; i++) {
		assert_int_equal(contains(s, base + i), in[i]);
		count += in[i];
		nr += in[i] && (!i || !in[i - 1]);
	}
	assert_int_equal(rangeset_count(s), count);
	assert_int_equal(s->nr, nr); /* disjoint and merged: exactly the runs */
	for (u32 i = 0; i < s->nr; i++) {
		assert_true(s->range[i].first <= s->range[i].last);
		if (i)
			assert_true(s->range[i - 1].last < s->range[i].first);
	}
}

static bool ref_any(u64 first, u64 last)
{
	for (u64 i = first; i <= last; i++)
		if (in[i])
			return true;
	return false;
}

static void run(u64 base, u32 max, int steps)
{
	struct rangeset s;

	memset(in, 0, sizeof(in));
	rangeset_init(&s, "test set", storage, max);
	for (int step = 0; step < steps; step++) {
		u64 first = rand() % UNIVERSE;
		u64 last = first + (rand() % 3 ? rand() % 8 : rand() % UNIVERSE);
		u64 before = rangeset_count(&s), gone = 0;
		int err;

		last = MIN(last, UNIVERSE - 1UL);
		assert_int_equal(rangeset_overlaps(&s, base + first, base + last),
				 ref_any(first, last));
		if (rand() % 2) {
			err = rangeset_add(&s, base + first, base + last);
			if (!err)
				memset(&in[first], true, last - first + 1);
			else /* refused only if the set is full and no range is adjacent */
				assert_true(err == -ENOSPC && s.nr == max &&
					    !ref_any(first ? first - 1 : 0,
						     MIN(last + 1, UNIVERSE - 1UL)));
		} else {
			for (u64 i = first; i <= last; i++)
				gone += in[i];
			err = rangeset_remove(&s, base + first, base + last);
			memset(&in[first], false, last - first + 1);
			if (err) {
				u64 low = 0, high = 0;

				assert_int_equal(err, -ENOSPC);
				assert_int_equal(s.nr, max);
				/* The smaller remainder was given up, and nothing else. */
				while (first > low && in[first - low - 1])
					low++;
				while (last + high + 1 < UNIVERSE && in[last + high + 1])
					high++;
				assert_true(low && high);
				assert_int_equal(rangeset_count(&s),
						 before - gone - MIN(low, high));
				if (low < high)
					memset(&in[first - low], false, low);
				else
					memset(&in[last + 1], false, high);
			}
		}
		check(&s, base);
	}
}

static void test_random(void **state)
{
	(void)state;
	srand(test_seed());
	run(0, UNIVERSE, 3000);
	run(~0UL - UNIVERSE + 1, UNIVERSE, 3000);
	run(0x123456789000, UNIVERSE, 3000);
	for (u32 max = 1; max < 12; max++) {
		run(0, max, 1000);
		run(~0UL - UNIVERSE + 1, max, 1000);
	}
}

static void test_whole(void **state)
{
	struct rangeset s;

	(void)state;
	rangeset_init(&s, "all", storage, 2);
	assert_int_equal(rangeset_add(&s, 0, ~0UL), 0);
	assert_true(contains(&s, 0) && contains(&s, ~0UL));
	assert_int_equal(rangeset_add(&s, 5, 4), 0); /* empty */
	assert_int_equal(rangeset_remove(&s, 5, 4), 0);
	assert_int_equal(s.nr, 1);
	assert_int_equal(rangeset_remove(&s, 10, 20), 0);
	assert_int_equal(rangeset_remove(&s, 0, 0), 0);
	assert_int_equal(rangeset_remove(&s, ~0UL, ~0UL), 0);
	assert_int_equal(s.range[0].first, 1);
	assert_int_equal(s.range[1].last, ~0UL - 1);
	assert_int_equal(rangeset_remove(&s, 0, ~0UL), 0);
	assert_int_equal(s.nr, 0);
	rangeset_init(&s, "none", storage, 0);
	assert_int_equal(rangeset_add(&s, 1, 1), -ENOSPC);
	assert_int_equal(rangeset_remove(&s, 1, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
