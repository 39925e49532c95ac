/* sources: kernel/guest/devices/legacy/vrtc.c kernel/core/rtc.c */
/* The real-time clock of a guest: its dates against the C library, in each format, how a guest sets
 * it, and what else is in its memory. */
#include "test.h"

#include <time.h>

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>

#define S 1000000000UL

static u64 now;
static struct bus_range ports;
static struct domain d;
static struct legacy l = { .domain = &d };

u64 clock_ns(void)
{
	return now;
}

u64 clock_wall_ns(u64 ns)
{
	return ns;
}

int bus_add(struct bus *b, const struct bus_range *r)
{
	assert_ptr_equal(b, &d.vm.io);
	ports = *r;
	return 0;
}

static void out(u32 offset, u8 value)
{
	assert_int_equal(ports.write(ports.ctx, NULL, offset, 1, value), 0);
}

static void put(u8 index, u8 value)
{
	out(0, index | 0x80); /* software masks NMIs with it */
	out(1, value);
}

static u8 get(u8 index)
{
	u64 value = 0xff;

	out(0, index);
	assert_int_equal(ports.read(ports.ctx, NULL, 1, 1, &value), 0);
	return (u8)value;
}

static int start(void **state)
{
	(void)state;
	now = 1790000000UL * S;
	d.vm.memory.pages_limit = (64UL << 20) >> PAGE_SHIFT;
	spin_init(&l.lock, LOCK_LEGACY);
	assert_int_equal(vrtc_add_ports(&l), 0);
	assert_int_equal(ports.first, 0x70);
	assert_int_equal(ports.last, 0x71);
	vrtc_reset(&l);
	return 0;
}

static u8 bcd(int n)
{
	return (u8)(n / 10 << 4 | n % 10);
}

static void expect_date(time_t t)
{
	struct tm tm;

	gmtime_r(&t, &tm);
	assert_int_equal(get(0), bcd(tm.tm_sec));
	assert_int_equal(get(2), bcd(tm.tm_min));
	assert_int_equal(get(4), bcd(tm.tm_hour));
	assert_int_equal(get(6), tm.tm_wday + 1);
	assert_int_equal(get(7), bcd(tm.tm_mday));
	assert_int_equal(get(8), bcd(tm.tm_mon + 1));
	assert_int_equal(get(9), bcd(tm.tm_year % 100));
	assert_int_equal(get(0x32), bcd(19 + tm.tm_year / 100));
}

static void test_dates(void **state)
{
	(void)state;
	for (time_t t = 0; t < 4200000000; t += 86400 - 7) {
		now = (u64)t * S + S / 2;
		expect_date(t);
	}
}

static void test_formats(void **state)
{
	static const struct {
		u8 b, hour, at_0, at_11, at_12, at_23;
	} cases[] = {
		{ 0x02, 0, 0x00, 0x11, 0x12, 0x23 },
		{ 0x06, 0, 0, 11, 12, 23 },
		{ 0x00, 0, 0x12, 0x11, 0x92, 0x91 },
		{ 0x04, 0, 12, 11, 0x8c, 0x8b },
	};
	u64 midnight = 1790035200UL - 1790035200UL % 86400;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put(11, cases[i].b);
		assert_int_equal(get(11), cases[i].b);
		now = midnight * S;
		assert_int_equal(get(4), cases[i].at_0);
		now = (midnight + 11 * 3600) * S;
		assert_int_equal(get(4), cases[i].at_11);
		now = (midnight + 12 * 3600) * S;
		assert_int_equal(get(4), cases[i].at_12);
		now = (midnight + 23 * 3600) * S;
		assert_int_equal(get(4), cases[i].at_23);
	}
}

/* Pollers see that an update is in progress, and that it ends when the second does. */
static void test_update(void **state)
{
	(void)state;
	now = 1790000000UL * S;
	assert_int_equal(get(10), 0x26);
	now += S - 3000000;
	assert_int_equal(get(10), 0x26);
	now += 1000000;
	assert_int_equal(get(10), 0xa6);
	now += 1999999;
	assert_int_equal(get(10), 0xa6);
	assert_int_equal(get(12), 0);
	now += 1;
	assert_int_equal(get(10), 0x26);
	assert_int_equal(get(12), 0x10);
	assert_int_equal(get(12), 0);
	put(10, 0xff);
	assert_int_equal(get(10), 0x7f);
}

/* As Linux sets it, and as simple kernels do, field by field. */
static void test_setting(void **state)
{
	struct tm tm = { .tm_year = 135, .tm_mon = 11, .tm_mday = 31, .tm_hour = 23, .tm_sec = 58 };
	time_t t = timegm(&tm);
	u64 set_at;

	(void)state;
	now += 123456789;
	put(11, 0x82);
	put(9, 0x35);
	put(8, 0x12);
	put(7, 0x31);
	put(4, 0x23);
	put(2, 0x00);
	put(0, 0x58);
	now += 5 * S; /* it stands still meanwhile */
	assert_int_equal(get(0), 0x58);
	assert_int_equal(get(10), 0x26);
	put(11, 0x02);
	set_at = now;
	expect_date(t);
	now = set_at + 3661 * S;
	expect_date(t + 3661);
	put(2, 0x30);
	assert_int_equal(get(2), 0x30);
	/* No date: the old one stays. */
	put(11, 0x82);
	put(8, 0x13);
	put(11, 0x02);
	assert_int_equal(get(8), 0x01);
	vrtc_reset(&l);
	expect_date((time_t)(now / S));
}

static void test_memory(void **state)
{
	u32 sum = 0;

	(void)state;
	assert_int_equal(get(13), 0x80);
	assert_int_equal(get(14) | get(15), 0);
	assert_int_equal(get(0x15) | get(0x16) << 8, 640);
	assert_int_equal(get(0x17) | get(0x18) << 8, 63 * 1024);
	assert_int_equal(get(0x30) | get(0x31) << 8, 63 * 1024);
	assert_int_equal(get(0x34) | get(0x35) << 8, 48 * 16);
	for (u8 i = 0x10; i < 0x2e; i++)
		sum += get(i);
	assert_int_equal(get(0x2e) << 8 | get(0x2f), sum);
	d.vm.memory.pages_limit = (5UL << 30) >> PAGE_SHIFT;
	vrtc_reset(&l);
	assert_int_equal(get(0x17) | get(0x18) << 8, 0xffff);
	assert_int_equal(get(0x34) | get(0x35) << 8, (3072 - 16) * 16);
	assert_int_equal(get(0x5b) | get(0x5c) << 8 | get(0x5d) << 16, 2048 * 16);
	d.vm.memory.pages_limit = (2UL << 20) >> PAGE_SHIFT;
	vrtc_reset(&l);
	assert_int_equal(get(0x17) | get(0x18) << 8, 1024);
	assert_int_equal(get(0x34) | get(0x35) << 8, 0);
	put(0x40, 0x5a);
	put(1, 0x33);
	assert_int_equal(get(0x40), 0x5a);
	assert_int_equal(get(1), 0x33);
	put(13, 0);
	assert_int_equal(get(13), 0x80);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_dates, start),
		cmocka_unit_test_setup(test_formats, start),
		cmocka_unit_test_setup(test_update, start),
		cmocka_unit_test_setup(test_setting, start),
		cmocka_unit_test_setup(test_memory, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
