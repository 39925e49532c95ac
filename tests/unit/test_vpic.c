/* sources: kernel/guest/devices/legacy/vpic.c */
/* A PC's interrupt controllers: priorities, ends of interrupts, the cascade, spurious requests. */
#include "test.h"

#include <kernel/guest/devices/legacy/vpic.h>

static struct vpic pic;

static void begin(u8 word4)
{
	vpic_power_on(&pic);
	for (u32 chip = 0; chip < 2; chip++) {
		vpic_write(&pic, chip, false, 0x11);
		vpic_write(&pic, chip, true, chip ? 0x78 : 0x30);
		vpic_write(&pic, chip, true, chip ? 2 : 4);
		vpic_write(&pic, chip, true, word4);
	}
}

static void pulse(u32 line)
{
	vpic_set_line(&pic, line, true);
	vpic_set_line(&pic, line, false);
}

/* The vector that a processor takes; -1: none. */
static int take(void)
{
	int vector;

	if (!vpic_output(&pic))
		return -1;
	vector = vpic_offer(&pic);
	vpic_settle(&pic, true);
	return vector;
}

static void priorities(void **state)
{
	(void)state;
	begin(1);
	assert_int_equal(take(), -1);
	pulse(5);
	pulse(3);
	pulse(9);
	assert_int_equal(take(), 0x79);
	assert_int_equal(take(), -1); /* the cascade is in service */
	pulse(1);
	assert_int_equal(take(), 0x31); /* a higher one interrupts */
	vpic_write(&pic, 0, false, 0x20);
	assert_int_equal(pic.chip[0].isr, 1 << 2);
	vpic_write(&pic, 1, false, 0x20);
	vpic_write(&pic, 0, false, 0x20);
	assert_int_equal(take(), 0x33);
	vpic_write(&pic, 0, false, 0x63);
	assert_int_equal(take(), 0x35);
	vpic_write(&pic, 0, false, 0xa0); /* rotate: line 6 is the highest now */
	pulse(5);
	pulse(7);
	assert_int_equal(take(), 0x37);
	vpic_write(&pic, 0, false, 0x20);
	vpic_write(&pic, 0, false, 0xc7); /* line 0 is */
	pulse(1);
	assert_int_equal(take(), 0x31);
}

/* A line that stays high, or a masked one, is one request. */
static void edges(void **state)
{
	(void)state;
	begin(3);
	vpic_set_line(&pic, 4, true);
	assert_int_equal(take(), 0x34);
	vpic_set_line(&pic, 4, true);
	assert_int_equal(take(), -1);
	vpic_set_line(&pic, 4, false);
	vpic_write(&pic, 0, true, 0x10);
	pulse(4);
	pulse(4);
	assert_int_equal(take(), -1);
	vpic_write(&pic, 0, true, 0);
	assert_int_equal(take(), 0x34);
	assert_int_equal(take(), -1);
	pulse(2); /* nothing but the second chip is on it */
	assert_int_equal(take(), -1);
}

static void offered(void **state)
{
	(void)state;
	begin(1);
	pulse(0);
	assert_int_equal(vpic_offer(&pic), 0x30);
	assert_int_equal(vpic_offer(&pic), -1); /* one processor takes it */
	vpic_settle(&pic, false);
	assert_int_equal(pic.chip[0].irr, 1);
	assert_int_equal(pic.chip[0].isr, 0);
	/* One that comes meanwhile is another one. */
	assert_int_equal(vpic_offer(&pic), 0x30);
	pulse(0);
	vpic_settle(&pic, true);
	assert_int_equal(pic.chip[0].irr, 1);
	assert_int_equal(pic.chip[0].isr, 1);
	/* Initialisation forgets it. */
	vpic_write(&pic, 0, false, 0x20);
	assert_int_equal(vpic_offer(&pic), 0x30);
	vpic_write(&pic, 0, false, 0x11);
	vpic_settle(&pic, true);
	assert_int_equal(pic.chip[0].isr | pic.chip[0].irr, 0);
}

static void spurious(void **state)
{
	(void)state;
	begin(1);
	pulse(8);
	/* The second chip's request goes while the first one has its output high. */
	pic.chip[1].irr = 0;
	assert_int_equal(take(), 0x7f);
	assert_int_equal(pic.chip[1].isr, 0);
	assert_int_equal(pic.chip[0].isr, 1 << 2);
}

static void special(void **state)
{
	(void)state;
	begin(1);
	pulse(1);
	assert_int_equal(take(), 0x31);
	vpic_write(&pic, 0, true, 1 << 1);
	vpic_write(&pic, 0, false, 0x68); /* special mask: lower ones may interrupt */
	pulse(6);
	assert_int_equal(take(), 0x36);
	begin(1);
	pulse(3);
	vpic_write(&pic, 0, false, 0x0c);
	assert_int_equal(vpic_read(&pic, 0, false), 0x83);
	assert_int_equal(take(), -1);
	vpic_write(&pic, 0, false, 0x0b);
	assert_int_equal(vpic_read(&pic, 0, false), 1 << 3);
}

/* Whatever a guest writes, the chips stay within their lines. */
static void anything(void **state)
{
	unsigned int seed = test_seed();

	(void)state;
	begin(1);
	for (u32 i = 0; i < 2000000; i++) {
		u32 r = (u32)rand_r(&seed);

		switch (r % 5) {
		case 0:
			vpic_write(&pic, r >> 8 & 1, r >> 9 & 1, (u8)(r >> 16));
			break;
		case 1:
			(void)vpic_read(&pic, r >> 8 & 1, r >> 9 & 1);
			break;
		case 2:
			vpic_set_line(&pic, r >> 8 & 15, r >> 12 & 1);
			break;
		case 3:
			assert_in_range(vpic_offer(&pic) + 1, 0, 256);
			break;
		case 4:
			vpic_settle(&pic, r >> 8 & 1);
			break;
		}
		assert_in_range(pic.offered + 1, 0, 16);
		assert_in_range(pic.chip[0].lowest, 0, 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(priorities), cmocka_unit_test(edges),	 cmocka_unit_test(offered),
		cmocka_unit_test(spurious),   cmocka_unit_test(special), cmocka_unit_test(anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
