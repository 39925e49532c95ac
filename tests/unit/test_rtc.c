/* sources: kernel/core/rtc.c */
/* The real-time clock's registers as seconds: each day of a century against the C library, both
 * number formats, both hour formats, and invalid times. */
#include "test.h"

#include <kernel/core/rtc.h>

static u8 bcd(int n)
{
	return (u8)(n / 10 << 4 | n % 10);
}

static struct rtc_registers registers_of(const struct tm *t)
{
	return (struct rtc_registers){ bcd(t->tm_sec),
				       bcd(t->tm_min),
				       bcd(t->tm_hour),
				       bcd(t->tm_mday),
				       bcd(t->tm_mon + 1),
				       bcd(t->tm_year - 100),
				       0x02 };
}

static void test_every_day_of_the_century(void **state)
{
	(void)state;
	for (time_t t = 946684800; t < 4102444800; t += 86400 - 7) {
		struct tm tm;
		struct rtc_registers r;

		gmtime_r(&t, &tm);
		r = registers_of(&tm);
		assert_int_equal(rtc_decode(&r), t);
		r = (struct rtc_registers){ (u8)tm.tm_sec,
					    (u8)tm.tm_min,
					    (u8)tm.tm_hour,
					    (u8)tm.tm_mday,
					    (u8)(tm.tm_mon + 1),
					    (u8)(tm.tm_year - 100),
					    0x06 };
		assert_int_equal(rtc_decode(&r), t);
		r = registers_of(&tm);
		r.b = 0;
		r.hour = (u8)(bcd(tm.tm_hour % 12 ? tm.tm_hour % 12 : 12) |
			      (tm.tm_hour >= 12 ? 0x80 : 0));
		assert_int_equal(rtc_decode(&r), t);
	}
}

static void test_what_is_no_time(void **state)
{
	static const struct rtc_registers bad[] = {
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, /* no clock */
		{ 0, 0, 0, 0, 0, 0, 0x02 },
		{ 0x60, 0, 0, 1, 1, 0, 0x02 },
		{ 0, 0x60, 0, 1, 1, 0, 0x02 },
		{ 0, 0, 0x24, 1, 1, 0, 0x02 },
		{ 0, 0, 0, 1, 1, 0, 0 }, /* hour 0 in 12-hour format */
		{ 0, 0, 0x13, 1, 1, 0, 0 },
		{ 0, 0, 0, 0x32, 1, 0, 0x02 },
		{ 0, 0, 0, 0x29, 2, 1, 0x02 }, /* 2001 was not a leap year */
		{ 0, 0, 0, 1, 0x13, 0, 0x02 },
		{ 0, 0, 0, 1, 1, 100, 0x06 },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(rtc_decode(&bad[i]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_day_of_the_century),
		cmocka_unit_test(test_what_is_no_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
