/* See kernel/guest/devices/legacy/vpitcount.h. */
#include <kernel/guest/devices/legacy/vpitcount.h>

#define NS_A_SECOND 1000000000UL

enum {
	TERMINAL_COUNT = 0, /* the output rises when the count is over */
	ONE_SHOT = 1, /* the same, and the gate's edge starts it */
	RATE = 2, /* the output is low for the last clock of each period */
	SQUARE = 3, /* ... and for the second half */
	SOFT_STROBE = 4, /* the output is low for one clock when the count is over */
	HARD_STROBE = 5, /* the same, and the gate's edge starts it */
};

/* Whole seconds first: no product overflows. */
static u64 clocks(u64 ns)
{
	return ns / NS_A_SECOND * VPIT_HZ + ns % NS_A_SECOND * VPIT_HZ / NS_A_SECOND;
}

static u64 clocks_to_ns(u64 n)
{
	return n / VPIT_HZ * NS_A_SECOND + n % VPIT_HZ * NS_A_SECOND / VPIT_HZ;
}

static bool is_periodic(const struct vpit_channel *c)
{
	return c->mode == RATE || c->mode == SQUARE;
}

static bool needs_trigger(const struct vpit_channel *c)
{
	return c->mode == ONE_SHOT || c->mode == HARD_STROBE;
}

static u64 elapsed(const struct vpit_channel *c, u64 now)
{
	return c->counting ? clocks(now - c->start_ns) : c->stopped;
}

void vpit_set_mode(struct vpit_channel *c, u8 mode, u8 access)
{
	c->mode = mode > HARD_STROBE ? mode & 3 : mode;
	c->access = access;
	c->loaded = c->counting = false;
	c->second_write = c->second_read = false;
	c->has_latch = c->has_status = false;
	c->stopped = 0;
}

static void load(struct vpit_channel *c, u32 count, u64 now)
{
	c->count = count ? count : 65536;
	c->loaded = true;
	/* A gate's edge has not come yet, and a low gate holds the count. */
	c->counting = c->gate && !needs_trigger(c);
	c->start_ns = now;
	c->stopped = 0;
}

bool vpit_write_count(struct vpit_channel *c, u8 value, u64 now)
{
	switch ((enum vpit_access)c->access) {
	case VPIT_LOW:
		load(c, value, now);
		return true;
	case VPIT_HIGH:
		load(c, (u32)value << 8, now);
		return true;
	default:
		break;
	}
	c->second_write = !c->second_write;
	if (c->second_write) {
		c->low = value;
		/* The first byte stops this mode. */
		if (c->mode == TERMINAL_COUNT)
			c->loaded = c->counting = false;
		return false;
	}
	load(c, c->low | (u32)value << 8, now);
	return true;
}

void vpit_set_gate(struct vpit_channel *c, bool gate, u64 now)
{
	bool rises = gate && !c->gate;

	if (!gate && c->counting && !needs_trigger(c)) {
		c->stopped = elapsed(c, now);
		c->counting = false;
	}
	c->gate = gate;
	if (!rises || !c->loaded)
		return;
	/* Only the modes that count once go on where they were. */
	c->start_ns = is_periodic(c) || needs_trigger(c) ? now : now - clocks_to_ns(c->stopped);
	c->counting = true;
}

u16 vpit_value(const struct vpit_channel *c, u64 now)
{
	u64 n = elapsed(c, now);

	if (!c->loaded)
		return 0;
	switch (c->mode) {
	case RATE:
		return (u16)(c->count - n % c->count);
	case SQUARE: /* by two, twice in each period */
		return (u16)((c->count - 2 * n % c->count) & ~1UL);
	default: /* goes on below 0 */
		return (u16)(c->count - n);
	}
}

bool vpit_output(const struct vpit_channel *c, u64 now)
{
	u64 n = elapsed(c, now);

	if (!c->loaded)
		return c->mode != TERMINAL_COUNT;
	switch (c->mode) {
	case TERMINAL_COUNT:
		return n >= c->count;
	case ONE_SHOT:
		return !c->counting || n >= c->count;
	case RATE:
		return !c->counting || n % c->count != c->count - 1;
	case SQUARE:
		return !c->counting || n % c->count < (c->count + 1) / 2;
	default:
		return !c->counting || n != c->count;
	}
}
