/* sources: kernel/guest/devices/vuart.c */
/* What a guest writes to its console, as lines of the log: a burst passes, and where lines are
 * missing the log says so, also when the guest says nothing after them. */
#include "test.h"

#include <stdarg.h>

#include <kernel/core/console.h>
#include <kernel/core/log.h>
#include <kernel/guest/devices/guestconsole.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/mm/alloc.h>

static u64 now = 1000000000UL;
static char said[4096][200];
static u32 nr_said;
static struct bus_range com1;
static struct domain d = { .id = 1, .name = "g" };

u64 clock_ns(void)
{
	return now;
}

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	(void)level;
	assert_true(nr_said < ARRAY_SIZE(said));
	va_start(ap, fmt);
	vsnprintf(said[nr_said++], sizeof(said[0]), fmt, ap);
	va_end(ap);
}

int bus_add(struct bus *b, const struct bus_range *r)
{
	(void)b;
	com1 = *r;
	return 0;
}

void *kzalloc(size_t size)
{
	return calloc(1, size);
}

void kfree(void *p)
{
	free(p);
}

bool guestconsole_has_room(u16 id)
{
	(void)id;
	return true;
}

bool guestconsole_put(u16 id, u8 c, bool *tell)
{
	(void)id, (void)c, (void)tell;
	return false;
}

void guestconsole_tell(void)
{
}

bool console_has_room(void)
{
	return true;
}

void console_put(u8 c)
{
	(void)c;
}

void console_end_line(void)
{
}

static void write_lines(u32 from, u32 nr)
{
	char line[16];

	for (u32 i = from; i < from + nr; i++) {
		snprintf(line, sizeof(line), "%u\n", i);
		for (const char *p = line; *p; p++)
			assert_int_equal(com1.write(com1.ctx, NULL, 0, 1, (u8)*p), 0);
	}
}

static void expect(u32 i, const char *text)
{
	assert_true(i < nr_said);
	if (!strstr(said[i], text))
		fail_msg("line %u is \"%s\", not \"%s\"", i, said[i], text);
}

static int start(void **state)
{
	(void)state;
	now += 1000000000000UL;
	nr_said = 0;
	return vuart_create(&d);
}

static int stop(void **state)
{
	(void)state;
	vuart_destroy(&d);
	return 0;
}

static void test_a_burst_passes(void **state)
{
	(void)state;
	write_lines(0, 1000);
	assert_int_equal(nr_said, 1000);
	expect(0, "g| 0");
	expect(999, "g| 999");
}

static void test_missing_lines_are_told_in_place(void **state)
{
	(void)state;
	write_lines(0, 1007);
	assert_int_equal(nr_said, 1001);
	expect(1000, "domain g: lines of its console are left out from here on");
	/* Nothing passes until a second's worth may. */
	now += 900000000UL;
	write_lines(1007, 3);
	assert_int_equal(nr_said, 1001);
	now += 200000000UL;
	write_lines(1010, 1);
	assert_int_equal(nr_said, 1003);
	expect(1001, "domain g: 10 lines of its console were left out");
	expect(1002, "g| 1010");
}

static void test_the_last_lines_are_missing(void **state)
{
	(void)state;
	write_lines(0, 1003);
	assert_int_equal(com1.write(com1.ctx, NULL, 0, 1, 'x'), 0);
	vuart_flush(d.uart);
	assert_int_equal(nr_said, 1002);
	expect(1000, "from here on");
	expect(1001, "domain g: 4 lines of its console were left out");
	vuart_flush(d.uart);
	assert_int_equal(nr_said, 1002);
}

/* However fast it writes, a guest causes so many lines and no more. */
static void test_what_it_causes_is_bounded(void **state)
{
	(void)state;
	for (u32 i = 0; i < 20 * 1000; i++, now += 1000000UL)
		write_lines(i, 1);
	assert_in_range(nr_said, 1000, 1000 + 20 * (50 + 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_burst_passes, start, stop),
		cmocka_unit_test_setup_teardown(test_missing_lines_are_told_in_place, start, stop),
		cmocka_unit_test_setup_teardown(test_the_last_lines_are_missing, start, stop),
		cmocka_unit_test_setup_teardown(test_what_it_causes_is_bounded, start, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
