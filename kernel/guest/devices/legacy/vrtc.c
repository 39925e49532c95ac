/* The real-time clock and CMOS memory of a guest. See vrtc.h. */
#include <kernel/guest/devices/legacy/vrtc.h>

#include <kernel/core/clock.h>
#include <kernel/core/rtc.h>
#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/string.h>

#define INDEX_PORT 0x70
#define DATA_PORT 0x71
#define INDEX_MASK 0x7f /* bit 7 masks NMIs on a PC */

/* MC146818A, table 5. */
enum {
	SECOND = 0,
	MINUTE = 2,
	HOUR = 4,
	WEEKDAY = 6, /* Sunday is 1 */
	DAY = 7,
	MONTH = 8,
	YEAR = 9,
	REGISTER_A = 10,
	REGISTER_B = 11,
	REGISTER_C = 12,
	REGISTER_D = 13,
	EQUIPMENT = 0x14,
	BASE_MEMORY = 0x15,
	EXTENDED_MEMORY = 0x17, /* KiB from 1 MiB up */
	CHECKSUM = 0x2e, /* of 0x10 to 0x2d, high byte first */
	EXTENDED_MEMORY_FOUND = 0x30, /* the same, as measured */
	CENTURY = 0x32,
	MEMORY_ABOVE_16M = 0x34, /* 64 KiB units, up to 4 GiB */
	MEMORY_ABOVE_4G = 0x5b, /* 64 KiB units, three bytes */
};

#define A_UPDATE_IN_PROGRESS 0x80
#define A_POWER_ON 0x26 /* a time base of 32768 Hz, a rate of 1024 Hz */
#define B_SET 0x80
#define B_BINARY 0x04
#define B_24_HOURS 0x02
#define C_UPDATE_ENDED 0x10
#define D_VALID 0x80
#define HOUR_PM 0x80

#define NS_PER_S 1000000000UL
#define SECONDS_A_DAY 86400UL
/* UIP rises 244 us before an update, which takes 1984 us (table 4). */
#define UPDATE_NS 2228000UL

static u64 date_ns(const struct vrtc *r)
{
	return clock_wall_ns(clock_ns()) + (u64)r->offset_ns;
}

static bool is_leap(u32 year)
{
	return year % 4 == 0 && (year % 100 || year % 400 == 0);
}

struct date {
	u32 year, month, day; /* counted from 1 */
};

static u32 days_of_month(struct date d)
{
	static const u8 days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[d.month - 1] + (d.month == 2 && is_leap(d.year));
}

/* `days` since 1970; nanoseconds end in 2554. */
static struct date date_of(u64 days)
{
	struct date d = { 1970, 1, 0 };
	u32 n;

	for (; days >= (n = is_leap(d.year) ? 366 : 365); d.year++)
		days -= n;
	for (; days >= (n = days_of_month(d)); d.month++)
		days -= n;
	d.day = (u32)days + 1;
	return d;
}

/* In the format that register B chooses. */
static u8 coded(const struct vrtc *r, u32 value)
{
	return (u8)(r->cmos[REGISTER_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static u8 coded_hour(const struct vrtc *r, u32 hour)
{
	if (r->cmos[REGISTER_B] & B_24_HOURS)
		return coded(r, hour);
	return coded(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static void take_date(struct vrtc *r)
{
	u64 s = date_ns(r) / NS_PER_S, days = s / SECONDS_A_DAY;
	struct date d = date_of(days);

	s %= SECONDS_A_DAY;
	r->cmos[SECOND] = coded(r, (u32)(s % 60));
	r->cmos[MINUTE] = coded(r, (u32)(s / 60 % 60));
	r->cmos[HOUR] = coded_hour(r, (u32)(s / 3600));
	r->cmos[WEEKDAY] = coded(r, (u32)((days + 4) % 7 + 1)); /* 1970 began on a Thursday */
	r->cmos[DAY] = coded(r, d.day);
	r->cmos[MONTH] = coded(r, d.month);
	r->cmos[YEAR] = coded(r, d.year % 100);
	r->cmos[CENTURY] = coded(r, d.year / 100);
}

/* A date that is none, or not from 2000 to 2099, changes nothing. */
static void set_date(struct vrtc *r)
{
	const u8 *c = r->cmos;
	struct rtc_registers date = { c[SECOND], c[MINUTE], c[HOUR],	  c[DAY],
				      c[MONTH],	 c[YEAR],   c[REGISTER_B] };
	u64 s = rtc_decode(&date);

	/* It begins a second. */
	if (s)
		r->offset_ns = (s64)(s * NS_PER_S - clock_wall_ns(clock_ns()));
}

static bool is_date(u8 index)
{
	return index == SECOND || index == MINUTE || index == HOUR || index == CENTURY ||
	       (index >= WEEKDAY && index <= YEAR);
}

static bool is_setting(const struct vrtc *r)
{
	return r->cmos[REGISTER_B] & B_SET;
}

static u8 read_register(struct vrtc *r)
{
	u64 now = date_ns(r);
	u8 value = r->cmos[r->index];

	switch (r->index) {
	case REGISTER_A:
		if (!is_setting(r) && now % NS_PER_S >= NS_PER_S - UPDATE_NS)
			value |= A_UPDATE_IN_PROGRESS;
		return value;
	case REGISTER_C:
		value = now / NS_PER_S != r->updates_seen ? C_UPDATE_ENDED : 0;
		r->updates_seen = now / NS_PER_S;
		return value;
	}
	if (is_date(r->index) && !is_setting(r)) {
		take_date(r);
		value = r->cmos[r->index];
	}
	return value;
}

static void write_register(struct vrtc *r, u8 value)
{
	bool set = is_setting(r);

	switch (r->index) {
	case REGISTER_A:
		r->cmos[REGISTER_A] = value & (u8)~A_UPDATE_IN_PROGRESS;
		return;
	case REGISTER_B:
		if (!set && (value & B_SET))
			take_date(r); /* the clock stops, and is read as it is now */
		else if (set && !(value & B_SET))
			set_date(r);
		r->cmos[REGISTER_B] = value;
		return;
	case REGISTER_C:
	case REGISTER_D:
		return;
	}
	if (is_date(r->index) && !set)
		take_date(r);
	r->cmos[r->index] = value;
	if (is_date(r->index) && !set)
		set_date(r);
}

static int read_ports(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct legacy *l = ctx;

	/* The index cannot be read. */
	if (size != 1 || INDEX_PORT + offset != DATA_PORT)
		return 0;
	spin_lock(&l->lock);
	*value = read_register(&l->rtc);
	spin_unlock(&l->lock);
	return 0;
}

static int write_ports(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct legacy *l = ctx;

	if (size != 1)
		return 0;
	spin_lock(&l->lock);
	if (INDEX_PORT + offset == INDEX_PORT)
		l->rtc.index = value & INDEX_MASK;
	else
		write_register(&l->rtc, (u8)value);
	spin_unlock(&l->lock);
	return 0;
}

int vrtc_add_ports(struct legacy *l)
{
	const struct bus_range r = {
		.first = INDEX_PORT,
		.last = DATA_PORT,
		.ctx = l,
		.read = read_ports,
		.write = write_ports,
	};

	return bus_add(&l->domain->vm.io, &r);
}

static void put(struct vrtc *r, u8 at, u64 value, u32 bytes)
{
	for (u32 i = 0; i < bytes; i++)
		r->cmos[at + i] = (u8)(value >> 8 * i);
}

/* What a PC's BIOS writes there. */
static void put_memory_sizes(struct vrtc *r, u64 ram)
{
	u64 low = MIN(ram, GUEST_HOLE_START), extended = (low - GUEST_HIGH_START) >> 10;
	u64 above_16m = low > (16UL << 20) ? (low - (16UL << 20)) >> 16 : 0;
	u32 sum = 0;

	put(r, BASE_MEMORY, GUEST_VIDEO_START >> 10, 2);
	put(r, EXTENDED_MEMORY, MIN(extended, 0xffffUL), 2);
	put(r, EXTENDED_MEMORY_FOUND, MIN(extended, 0xffffUL), 2);
	put(r, MEMORY_ABOVE_16M, above_16m, 2);
	put(r, MEMORY_ABOVE_4G, (ram - low) >> 16, 3);
	for (u32 i = 0x10; i < CHECKSUM; i++)
		sum += r->cmos[i];
	r->cmos[CHECKSUM] = (u8)(sum >> 8);
	r->cmos[CHECKSUM + 1] = (u8)sum;
}

void vrtc_reset(struct legacy *l)
{
	struct vrtc *r = &l->rtc;

	memset(r, 0, sizeof(*r));
	r->cmos[REGISTER_A] = A_POWER_ON;
	r->cmos[REGISTER_B] = B_24_HOURS;
	r->cmos[REGISTER_D] = D_VALID;
	r->cmos[EQUIPMENT] = 0x22; /* as in the BIOS data area */
	r->updates_seen = date_ns(r) / NS_PER_S;
	put_memory_sizes(r, l->domain->vm.memory.pages_limit << PAGE_SHIFT);
}
