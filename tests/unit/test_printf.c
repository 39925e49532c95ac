/* sources: */
/* Weir's snprintf against the C library's, with random formats and arguments. */
#include "test.h"

#define snprintf weir_snprintf
#define vsnprintf weir_vsnprintf
int weir_snprintf(char *buf, size_t size, const char *fmt, ...);
int weir_vsnprintf(char *buf, size_t size, const char *fmt, va_list ap);
#include <kernel/lib/printf.c>
#undef snprintf
#undef vsnprintf

/* The formats are generated at run time. */
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"
/* Buffers that are too short are part of the test. */
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wformat-truncation"
#endif
#pragma GCC diagnostic ignored "-Wformat-zero-length"

#define FORMAT_SIZE 64

static char ours[512], theirs[512];

#define same(size, ...)                                                                            \
	do {                                                                                       \
		memset(ours, '#', sizeof(ours));                                                   \
		memset(theirs, '#', sizeof(theirs));                                               \
		int a = weir_snprintf(ours, size, __VA_ARGS__);                                    \
		int b = snprintf(theirs, size, __VA_ARGS__);                                       \
		assert_int_equal(a, b);                                                            \
		assert_memory_equal(ours, theirs, sizeof(ours));                                   \
	} while (0)

static u64 random_value(void)
{
	u64 v = (u64)rand() << 42 ^ (u64)rand() << 21 ^ (u64)rand();

	switch (rand() % 4) {
	case 0:
		return v >> (rand() % 64);
	case 1:
		return -(v >> (rand() % 64));
	case 2:
		return 1UL << (rand() % 64);
	default:
		return (u64)(rand() % 3) - 1;
	}
}

static void make_format(char *fmt, bool text, char *conversion)
{
	static const char *const lengths[] = { "", "l", "ll", "z", "h", "hh" };
	const char *length = lengths[rand() % ARRAY_SIZE(lengths)];
	char width[8] = "", precision[8] = "";

	*conversion = text ? "sc"[rand() % 2] : "diuxX"[rand() % 5];
	if (rand() % 2)
		snprintf(width, sizeof(width), "%d", rand() % 30 + 1);
	if (rand() % 3 == 0 && *conversion != 'c')
		snprintf(precision, sizeof(precision), ".%d", rand() % 25);
	snprintf(fmt, FORMAT_SIZE, "<%s%s%s%s%s%c>", rand() % 3 ? "" : "-",
		 text || rand() % 3 ? "" : "0", width, precision, text ? "" : length, *conversion);
}

static void test_numbers(void **state)
{
	(void)state;
	for (int i = 0; i < 200000; i++) {
		char fmt[FORMAT_SIZE], conversion;
		size_t size = rand() % 4 ? sizeof(ours) : (size_t)rand() % 20;

		make_format(fmt, false, &conversion);
		same(size, fmt, random_value());
	}
}

static void test_text(void **state)
{
	static const char *const words[] = { "", "a", "weir", "a longer text with spaces in it",
					     "%s%d" };

	(void)state;
	for (int i = 0; i < 50000; i++) {
		char fmt[FORMAT_SIZE], conversion;
		size_t size = rand() % 4 ? sizeof(ours) : (size_t)rand() % 20;

		make_format(fmt, true, &conversion);
		if (conversion == 's')
			same(size, fmt, words[rand() % ARRAY_SIZE(words)]);
		else
			same(size, fmt, rand() % 256);
	}
}

static void test_by_hand(void **state)
{
	(void)state;
	same(64, "%%");
	same(64, "%5lu.%06lu", 3UL, 42UL);
	same(64, "%*d|%-*d|%.*s", 6, 42, 6, 42, 2, "abc");
	same(64, "%*d", -6, 42);
	same(64, "%+d % d %+d", 1, 1, -1);
	same(64, "%#x %#X %#x", 255u, 255u, 0u);
	same(64, "%p", (void *)0x1234);
	same(0, "nothing fits");
	same(1, "only the NUL");
	assert_int_equal(weir_snprintf(ours, sizeof(ours), "%s", (char *)NULL), 6);
	assert_string_equal(ours, "(null)");
	/* Unknown conversions are printed unchanged instead of consuming an argument. */
	weir_snprintf(ours, sizeof(ours), "%y");
	assert_string_equal(ours, "%y");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_by_hand),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
