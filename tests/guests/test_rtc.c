/* The real-time clock that a guest finds, and the ports for debug output. */
#include <tests/guests/guest.h>

#define UIP 0x80

static u8 cmos(u8 index)
{
	outb(0x70, index);
	return inb(0x71);
}

static bool is_bcd(u8 value, u8 first, u8 last)
{
	u8 n = (u8)((value >> 4) * 10 + (value & 0xf));

	return (value & 0xf) < 10 && n >= first && n <= last;
}

/* An update is in progress for 2 ms, and a vCPU on a busy machine may not run meanwhile. */
#define UPDATES 60

/* Wait for an update in progress, as kernels do to begin with a whole second. */
static bool wait_for_update(void)
{
	u8 second = cmos(0);

	for (u32 missed = 0; missed < UPDATES;) {
		u8 now;

		if (cmos(10) & UIP) {
			while (cmos(10) & UIP)
				;
			return true;
		}
		now = cmos(0);
		missed += now != second;
		second = now;
	}
	return false;
}

void test_rtc(void)
{
	u8 second;

	if (!under_weir) {
		print("rtc: skipped\n");
		return;
	}
	CHECK_EQ("rtc: its time is valid", cmos(13), 0x80);
	CHECK_EQ("rtc: BCD, 24 hours", cmos(11), 0x02);
	CHECK("rtc: the time",
	      is_bcd(cmos(0), 0, 59) && is_bcd(cmos(2), 0, 59) && is_bcd(cmos(4), 0, 23));
	CHECK("rtc: the date",
	      is_bcd(cmos(7), 1, 31) && is_bcd(cmos(8), 1, 12) && is_bcd(cmos(6), 1, 7));
	CHECK_EQ("rtc: the century", cmos(0x32), 0x20);
	CHECK("rtc: an update is seen in progress", wait_for_update());
	second = cmos(0);
	CHECK("rtc: and the next one", wait_for_update());
	CHECK("rtc: the second has changed", cmos(0) != second);
	outb(0x70, 11);
	outb(0x71, 0x82);
	outb(0x70, 9);
	outb(0x71, 0x77);
	outb(0x70, 11);
	outb(0x71, 0x02);
	CHECK_EQ("rtc: its date can be set", cmos(9), 0x77);
	CHECK_EQ("rtc: base memory in KiB", cmos(0x15) | cmos(0x16) << 8, 640);
	CHECK_EQ("rtc: Bochs' debug port is there", inb(0xe9), 0xe9);
	CHECK_EQ("rtc: and the firmware's", inb(0x402), 0xe9);
	for (const char *s = "rtc: text by port 0xe9\n"; *s; s++)
		outb(0xe9, (u8)*s);
}
