/* sources: kernel/guest/devices/legacy/vpitcount.c */
/* The counts of a PC's timer, compared with a counter that really counts. */
#include "test.h"

#include <kernel/guest/devices/legacy/vpitcount.h>

/* The start of a clock, rounded up to a nanosecond. */
static u64 clock_begins(u64 clock)
{
	return (u64)(((unsigned __int128)clock * 1000000000 + VPIT_HZ - 1) / VPIT_HZ);
}

static struct vpit_channel begin(u8 mode, u32 count, bool gate)
{
	struct vpit_channel c = { .gate = gate };

	vpit_set_mode(&c, mode, VPIT_BOTH);
	assert_false(vpit_write_count(&c, (u8)count, 0));
	assert_true(vpit_write_count(&c, (u8)(count >> 8), 0));
	return c;
}

/* A counter of the data sheet, one clock at a time. */
static void as_the_data_sheet(void **state)
{
	static const u32 counts[] = { 1, 2, 3, 10, 1000, 1001, 65535, 0 };

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(counts); i++) {
		struct vpit_channel once = begin(0, counts[i], true);
		struct vpit_channel rate = begin(2, counts[i], true);
		struct vpit_channel square = begin(3, counts[i], true);
		u32 count = counts[i] ? counts[i] : 65536, down = count, at = 0;

		for (u64 clock = 0; clock < 200000; clock += 1) {
			u64 now = clock_begins(clock);

			assert_int_equal(vpit_value(&once, now), (u16)(count - clock));
			assert_int_equal(vpit_output(&once, now), clock >= count);
			assert_int_equal(vpit_value(&rate, now), (u16)down);
			assert_int_equal(vpit_output(&rate, now), at != count - 1);
			assert_int_equal(vpit_output(&square, now), at < (count + 1) / 2);
			down = down == 1 ? count : down - 1;
			at = at == count - 1 ? 0 : at + 1;
		}
	}
}

/* A year of uptime loses nothing, and nothing overflows. */
static void late(void **state)
{
	struct vpit_channel c = begin(2, 1193, true);
	u64 year = 365UL * 24 * 3600 * VPIT_HZ;

	(void)state;
	for (u64 clock = year; clock < year + 3000; clock++)
		assert_int_equal(vpit_value(&c, clock_begins(clock)), 1193 - clock % 1193);
	assert_in_range(vpit_value(&c, ~0UL), 1, 1193);
	c = begin(0, 5, true);
	assert_true(vpit_output(&c, ~0UL >> 1));
}

static void gate(void **state)
{
	struct vpit_channel c = begin(0, 1000, false);

	(void)state;
	assert_int_equal(vpit_value(&c, clock_begins(5000)), 1000);
	vpit_set_gate(&c, true, clock_begins(5000));
	/* It counts from the nanosecond in which the gate opens. */
	assert_in_range(vpit_value(&c, clock_begins(5400)), 600, 601);
	vpit_set_gate(&c, false, clock_begins(5400));
	assert_in_range(vpit_value(&c, clock_begins(9000)), 600, 601);
	assert_false(vpit_output(&c, clock_begins(9000)));
	vpit_set_gate(&c, true, clock_begins(9000));
	assert_in_range(vpit_value(&c, clock_begins(9100)), 499, 502);
	assert_true(vpit_output(&c, clock_begins(9700)));

	/* These begin anew. */
	c = begin(2, 1000, true);
	vpit_set_gate(&c, false, clock_begins(300));
	assert_true(vpit_output(&c, clock_begins(999)));
	vpit_set_gate(&c, true, clock_begins(2000));
	assert_in_range(vpit_value(&c, clock_begins(2010)), 990, 991);

	/* This one waits for the edge. */
	c = begin(1, 1000, true);
	assert_true(vpit_output(&c, clock_begins(500)));
	vpit_set_gate(&c, false, clock_begins(500));
	vpit_set_gate(&c, true, clock_begins(600));
	assert_false(vpit_output(&c, clock_begins(700)));
	assert_true(vpit_output(&c, clock_begins(1601)));
}

static void bytes(void **state)
{
	struct vpit_channel c = { .gate = true };

	(void)state;
	vpit_set_mode(&c, 2, VPIT_LOW);
	assert_true(vpit_write_count(&c, 7, 0));
	assert_int_equal(c.count, 7);
	vpit_set_mode(&c, 2, VPIT_HIGH);
	assert_true(vpit_write_count(&c, 7, 0));
	assert_int_equal(c.count, 0x700);
	/* Modes 6 and 7 are 2 and 3. */
	vpit_set_mode(&c, 7, VPIT_BOTH);
	assert_int_equal(c.mode, 3);
	/* The first byte stops mode 0, and no other. */
	c = begin(0, 5, true);
	(void)vpit_write_count(&c, 9, 0);
	assert_false(vpit_output(&c, clock_begins(100)));
	c = begin(2, 5, true);
	(void)vpit_write_count(&c, 9, 0);
	assert_int_equal(c.count, 5);
	assert_true(c.counting);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_the_data_sheet),
		cmocka_unit_test(late),
		cmocka_unit_test(gate),
		cmocka_unit_test(bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
