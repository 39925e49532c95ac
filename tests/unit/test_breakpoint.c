/* Which breakpoints an access meets: each kind and length, at each edge.
 * sources: kernel/guest/vcpu/breakpoint.c
 */
#include "test.h"

#include <kernel/guest/vcpu/breakpoint.h>
#include <kernel/x86/debug.h>

#define AT 0x1000UL

/* DR7 with breakpoint n enabled, globally or locally. */
static u64 dr7_with(unsigned int n, u64 type, u64 len, bool global)
{
	return DR7_RESET | 1UL << (2 * n + global) | type << (16 + 4 * n) | len << (18 + 4 * n);
}

static u64 met(u64 dr7, enum access_kind kind, u64 address, unsigned int size)
{
	const u64 dr[4] = { AT, AT + 0x100, AT + 0x203, ~0UL };

	return breakpoints_met(dr7, dr, kind, address, size);
}

static void kinds(void **state)
{
	static const bool watched[4][3] = {
		[DR7_TYPE_EXECUTION] = { false, false, false },
		[DR7_TYPE_WRITE] = { [ACCESS_WRITE] = true },
		[DR7_TYPE_PORT] = { [ACCESS_PORT] = true },
		[DR7_TYPE_ACCESS] = { [ACCESS_READ] = true, [ACCESS_WRITE] = true },
	};

	(void)state;
	for (u64 type = 0; type < 4; type++)
		for (enum access_kind kind = ACCESS_READ; kind <= ACCESS_PORT; kind++)
			for (int global = 0; global < 2; global++)
				assert_int_equal(met(dr7_with(0, type, 0, global), kind, AT, 1),
						 watched[type][kind]);
	/* None is enabled. */
	assert_int_equal(met(DR7_RESET | 0xffff0000UL, ACCESS_WRITE, AT, 1), 0);
}

static void lengths(void **state)
{
	static const unsigned int bytes[4] = { 1, 2, 8, 4 };

	(void)state;
	for (u64 len = 0; len < 4; len++) {
		u64 dr7 = dr7_with(1, DR7_TYPE_ACCESS, len, true), at = AT + 0x100;

		assert_int_equal(met(dr7, ACCESS_READ, at - 1, 1), 0);
		assert_int_equal(met(dr7, ACCESS_READ, at - 3, 4), 2);
		assert_int_equal(met(dr7, ACCESS_READ, at + bytes[len] - 1, 1), 2);
		assert_int_equal(met(dr7, ACCESS_READ, at + bytes[len], 8), 0);
		assert_int_equal(met(dr7, ACCESS_READ, at - 8, 32), 2);
	}
	/* The low bits of its address do not count. */
	assert_int_equal(met(dr7_with(2, DR7_TYPE_WRITE, 3, false), ACCESS_WRITE, AT + 0x200, 1),
			 4);
	assert_int_equal(met(dr7_with(2, DR7_TYPE_WRITE, 3, false), ACCESS_WRITE, AT + 0x204, 4),
			 0);
	assert_int_equal(met(dr7_with(2, DR7_TYPE_WRITE, 0, false), ACCESS_WRITE, AT + 0x202, 1),
			 0);
}

/* Two at once; and the last byte of all. */
static void several(void **state)
{
	u64 dr7 = dr7_with(0, DR7_TYPE_WRITE, 0, true) | dr7_with(1, DR7_TYPE_ACCESS, 0, true) |
		  dr7_with(3, DR7_TYPE_ACCESS, 0, true);

	(void)state;
	assert_int_equal(met(dr7, ACCESS_WRITE, AT, 0x200), 3);
	assert_int_equal(met(dr7, ACCESS_READ, AT, 0x200), 2);
	assert_int_equal(met(dr7, ACCESS_READ, ~0UL, 1), 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(lengths),
		cmocka_unit_test(several),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
