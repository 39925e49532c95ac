/* The lock order that debug builds check, and its table in docs/architecture.md. */
#include "test.h"

#include <kernel/core/spinlock.h>

static struct spinlock nested = SPINLOCK_INIT(LOCK_NESTED);
static struct spinlock slab = SPINLOCK_INIT(LOCK_SLAB);
static struct spinlock alloc = SPINLOCK_INIT(LOCK_ALLOC);
static struct spinlock console = SPINLOCK_INIT(LOCK_CONSOLE);

/* The call must panic with this message. */
#define assert_panic_says(call, message)                                                           \
	do {                                                                                       \
		expect_panic(call);                                                                \
		assert_string_equal(global_last_failed_assert, message);                           \
	} while (0)

static void locks_may_be_taken_in_order(void **state)
{
	(void)state;
	spin_lock(&nested);
	spin_lock(&alloc);
	spin_lock(&console);
	/* They may be unlocked in any order. */
	spin_unlock(&nested);
	spin_unlock(&console);
	assert_locked(&alloc);
	spin_lock(&console);
	spin_unlock(&console);
	spin_unlock(&alloc);
	spin_lock(&nested);
	spin_unlock(&nested);
}

static void a_wrong_order_is_caught_with_both_names(void **state)
{
	(void)state;
	spin_lock(&alloc);
	assert_panic_says(spin_lock(&nested),
			  "lock order: nested.lock taken while alloc_lock is held");
	/* All held locks count, not only the one taken last. */
	spin_lock(&console);
	assert_panic_says(spin_lock(&slab), "lock order: slab_lock taken while alloc_lock is held");
	spin_unlock(&alloc);
	assert_panic_says(spin_lock(&alloc),
			  "lock order: alloc_lock taken while console_lock is held");
	spin_unlock(&console);
}

static void two_locks_of_a_class_are_not_held_together(void **state)
{
	struct spinlock other;

	(void)state;
	spin_init(&other, LOCK_NESTED);
	spin_lock(&nested);
	assert_panic_says(spin_lock(&other),
			  "lock order: nested.lock taken while nested.lock is held");
	assert_panic_says(spin_lock(&nested),
			  "lock order: nested.lock taken while nested.lock is held");
	spin_unlock(&nested);
}

static void a_lock_that_is_not_held_cannot_be_unlocked(void **state)
{
	(void)state;
	assert_panic_says(spin_unlock(&alloc), "lock order: alloc_lock unlocked, but not held");
}

static void a_lock_needs_a_class(void **state)
{
	struct spinlock zero = { 0 };

	(void)state;
	expect_panic(spin_lock(&zero));
	assert_non_null(strstr(global_last_failed_assert, "has no class"));
}

static void need_alloc_lock(void)
{
	assert_locked(&alloc);
}

static void assert_locked_asks_for_this_lock(void **state)
{
	(void)state;
	spin_lock(&alloc);
	need_alloc_lock();
	spin_unlock(&alloc);
	expect_panic(need_alloc_lock());
	assert_non_null(strstr(global_last_failed_assert, ": alloc_lock is not held"));
	spin_lock(&nested);
	expect_panic(need_alloc_lock());
	spin_unlock(&nested);
}

/* docs/architecture.md has a row "| number | `lock` | what it guards |" for each class. */
static void the_document_has_the_same_order(void **state)
{
	FILE *in = fopen("docs/architecture.md", "r");
	unsigned int expected = LOCK_UNSET;
	bool in_section = false;
	char line[512];

	(void)state;
	assert_non_null(in);
	while (fgets(line, sizeof(line), in)) {
		unsigned int number;
		char name[64];

		if (line[0] == '#')
			in_section = !strcmp(line, "## Contexts and locks\n");
		if (!in_section || sscanf(line, "| %u | `%63[^`]` |", &number, name) != 2)
			continue;
		expected++;
		assert_int_equal(number, expected);
		assert_string_equal(name, lock_class_name(number));
	}
	fclose(in);
	assert_int_equal(expected + 1, NR_LOCK_CLASSES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(locks_may_be_taken_in_order),
		cmocka_unit_test(a_wrong_order_is_caught_with_both_names),
		cmocka_unit_test(two_locks_of_a_class_are_not_held_together),
		cmocka_unit_test(a_lock_that_is_not_held_cannot_be_unlocked),
		cmocka_unit_test(a_lock_needs_a_class),
		cmocka_unit_test(assert_locked_asks_for_this_lock),
		cmocka_unit_test(the_document_has_the_same_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
