/* sources: userland/control/keys.c */
/* Keys typed while a command of the control domain's shell runs. */
#include "test.h"

#include <userland/control/shell.h>

#define CTRL_C 3

static const char *typed;
static u32 nr_typed;

int console_get(void)
{
	return nr_typed ? (nr_typed--, (u8)*typed++) : -1;
}

static void type(const char *keys, u32 nr)
{
	typed = keys;
	nr_typed = nr;
}

static void kept_for_the_next_line(void **state)
{
	(void)state;
	type("ab", 2);
	assert_false(shell_interrupted());
	type("c", 1);
	for (const char *p = "abc"; *p; p++)
		assert_int_equal(shell_key(), *p);
	assert_int_equal(shell_key(), -1);
	assert_int_equal(shell_keys_lost(), 0);
}

/* Ctrl-C is seen behind more keys than are kept, whose number is told. */
static void interrupted_behind_many_keys(void **state)
{
	static char keys[5000];
	u32 kept = 0;

	(void)state;
	memset(keys, 'x', sizeof(keys));
	type(keys, sizeof(keys));
	for (u32 i = 0; nr_typed; i++) {
		assert_true(i < 100);
		assert_false(shell_interrupted());
	}
	type("\003", 1);
	assert_true(shell_interrupted());
	assert_int_equal(shell_key(), -1);
	assert_int_equal(shell_keys_lost(), 0);

	type(keys, 1000);
	assert_false(shell_interrupted());
	assert_false(shell_interrupted());
	while (shell_key() == 'x')
		kept++;
	assert_int_equal(shell_keys_lost(), 1000 - kept);
	assert_int_equal(shell_keys_lost(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_for_the_next_line),
		cmocka_unit_test(interrupted_behind_many_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
