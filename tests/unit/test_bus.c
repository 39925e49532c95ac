/* A bus against a naive search, with random ranges that come and go.
 * sources: kernel/guest/emulate/bus.c
 */
#include <tests/unit/test.h>

#include <kernel/guest/emulate/bus.h>
#include <kernel/lib/errno.h>

#define SPACE 4096u
#define STEPS 3000u

static struct bus bus;
static struct bus_range ref[BUS_MAX_RANGES];
static u32 nr;

/* --- the tests ------------------------------------------------------------ */

static int answer(void *ctx, struct vcpu *v, u64 offset, unsigned int size, u64 *value)
{
	(void)v;
	(void)size;
	*value = (u64)ctx + offset;
	return 0;
}

/* Reads the range's `first` and the offset: together the address. */
static void compare_all(void)
{
	for (u64 addr = 0; addr < SPACE; addr++) {
		unsigned int size = 1u << rand() % 3;
		u64 expected = ~0UL >> (64 - 8 * size), value, before = bus.absent;
		bool hit = false;

		for (u32 i = 0; i < nr; i++)
			hit |= addr >= ref[i].first && addr + size - 1 <= ref[i].last;
		assert_int_equal(bus_read(&bus, NULL, addr, size, &value), 0);
		assert_int_equal(value, hit ? addr : expected);
		assert_int_equal(bus.absent, before + !hit);
	}
}

static void add_one(void)
{
	u64 first = (u64)rand() % SPACE, bytes = 1 + (u64)rand() % (rand() % 4 ? 40 : 1500);
	struct bus_range r = { first, first + bytes - 1, (void *)first, answer, NULL };
	int expected = nr == BUS_MAX_RANGES ? -ENOSPC : 0;

	for (u32 i = 0; i < nr; i++)
		if (r.first <= ref[i].last && ref[i].first <= r.last)
			expected = -EEXIST;
	assert_int_equal(bus_add(&bus, &r), expected);
	if (!expected)
		ref[nr++] = r;
}

static void remove_one(void)
{
	u64 first = (u64)rand() % SPACE;
	u32 at = nr ? (u32)rand() % nr : 0;

	if (nr && rand() % 4)
		first = ref[at].first;
	bus_remove(&bus, first);
	for (u32 i = 0; i < nr; i++)
		if (ref[i].first == first) {
			ref[i] = ref[--nr];
			break;
		}
}

static void random_ranges(void **state)
{
	(void)state;
	srand(test_seed());
	bus_init(&bus, "test", "ports");
	compare_all();
	for (u32 i = 0; i < STEPS; i++) {
		if (rand() % 8 < 5)
			add_one();
		else
			remove_one();
		if (i % 16 == 0)
			compare_all();
	}
	assert_int_equal(bus.nr, nr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
