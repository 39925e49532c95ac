/* See kernel/core/rtc.h. */
#include <kernel/core/rtc.h>

#include <kernel/lib/string.h>
#include <kernel/x86/io.h>

#define RTC_INDEX 0x70
#define RTC_DATA 0x71
#define REGISTER_A 0x0a
#define REGISTER_B 0x0b
#define A_UPDATE_IN_PROGRESS 0x80
#define B_24_HOURS 0x02
#define B_BINARY 0x04
#define HOUR_PM 0x80

#define TRIES 5
#define MAX_POLLS 10000 /* of a port that takes a microsecond; an update takes two thousand */

#define DAYS_TO_2000 10957u
#define SECONDS_A_DAY 86400UL

static u8 plain(u8 value, bool binary)
{
	return binary ? value : (u8)((value >> 4) * 10 + (value & 0xf));
}

u64 rtc_decode(const struct rtc_registers *r)
{
	static const u16 days_before[] = { 0,	31,  59,  90,  120, 151, 181,
					   212, 243, 273, 304, 334, 365 };
	bool binary = r->b & B_BINARY, leap;
	u8 second = plain(r->second, binary), minute = plain(r->minute, binary);
	u8 hour = plain(r->hour & (u8)~HOUR_PM, binary), day = plain(r->day, binary);
	u8 month = plain(r->month, binary), year = plain(r->year, binary);
	u32 days;

	if (!(r->b & B_24_HOURS)) {
		if (hour < 1 || hour > 12)
			return 0;
		hour = (u8)(hour % 12 + (r->hour & HOUR_PM ? 12 : 0));
	}
	if (second > 59 || minute > 59 || hour > 23 || month < 1 || month > 12 || year > 99)
		return 0;
	leap = year % 4 == 0;
	days = days_before[month] - days_before[month - 1];
	if (day < 1 || day > days + (leap && month == 2))
		return 0;
	days = DAYS_TO_2000 + 365u * year + (year + 3u) / 4 + days_before[month - 1] +
	       (leap && month > 2) + day - 1u;
	return days * SECONDS_A_DAY + hour * 3600u + minute * 60u + second;
}

static u8 rtc_register(u8 index)
{
	outb(RTC_INDEX, index);
	return inb(RTC_DATA);
}

static bool read_once_quiet(struct rtc_registers *r)
{
	u32 polls = 0;

	while (rtc_register(REGISTER_A) & A_UPDATE_IN_PROGRESS)
		if (++polls == MAX_POLLS)
			return false;
	*r = (struct rtc_registers){ rtc_register(0),	      rtc_register(2), rtc_register(4),
				     rtc_register(7),	      rtc_register(8), rtc_register(9),
				     rtc_register(REGISTER_B) };
	return true;
}

/* An update may begin between two register reads, so two readings must agree. */
u64 rtc_read(void)
{
	for (u32 i = 0; i < TRIES; i++) {
		struct rtc_registers first, second;

		if (!read_once_quiet(&first) || !read_once_quiet(&second))
			return 0;
		if (!memcmp(&first, &second, sizeof(first)))
			return rtc_decode(&first);
	}
	return 0;
}
