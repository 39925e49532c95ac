/* The ports of the timer and system control port B. See vpit.h.
 *
 *	channel 0    no output yet
 *	channel 1    counts, and has no output
 *	channel 2    its output is bit 5 of port B; the speaker is silent
 *
 * Left out of the 8254: counting in BCD.
 */
#include <kernel/guest/devices/legacy/vpit.h>

#include <kernel/core/clock.h>
#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/devices/legacy/vpitcount.h>
#include <kernel/guest/domain/domain.h>

#define PIT_FIRST 0x40
#define PIT_CONTROL 0x43

/* The control word (8254 data sheet, figure 7), and the read-back command (figure 10). */
#define CONTROL_MODE MASK(3, 1)
#define CONTROL_ACCESS MASK(5, 4)
#define CONTROL_CHANNEL MASK(7, 6)
#define READ_BACK 3
#define READ_BACK_NO_STATUS BIT(4)
#define READ_BACK_NO_COUNT BIT(5)
#define STATUS_OUTPUT BIT(7)
#define STATUS_NO_COUNT BIT(6)

/* Port B, NMI_SC in Intel's ICH data sheets. */
#define PORT_B 0x61
#define PORT_B_GATE BIT(0)
#define PORT_B_SPEAKER BIT(1)
#define PORT_B_REFRESH BIT(4)
#define PORT_B_OUTPUT BIT(5)
#define REFRESH_NS 15085

static void latch_count(struct vpit_channel *c, u64 now)
{
	if (c->has_latch)
		return;
	c->has_latch = true;
	c->latch = vpit_value(c, now);
}

static void latch_status(struct vpit_channel *c, u64 now)
{
	if (c->has_status)
		return;
	c->has_status = true;
	c->status = (u8)((vpit_output(c, now) ? STATUS_OUTPUT : 0) |
			 (c->loaded ? 0 : STATUS_NO_COUNT) |
			 FIELD_PREP(CONTROL_ACCESS, (u64)c->access) |
			 FIELD_PREP(CONTROL_MODE, (u64)c->mode));
}

static void write_control(struct vpit *p, u8 value, u64 now)
{
	u32 channel = (u32)FIELD_GET(CONTROL_CHANNEL, value);
	u8 access = (u8)FIELD_GET(CONTROL_ACCESS, value);

	if (channel == READ_BACK) {
		for (u32 i = 0; i < VPIT_CHANNELS; i++) {
			if (!(value & BIT(i + 1)))
				continue;
			if (!(value & READ_BACK_NO_COUNT))
				latch_count(&p->channel[i], now);
			if (!(value & READ_BACK_NO_STATUS))
				latch_status(&p->channel[i], now);
		}
		return;
	}
	if (access == VPIT_LATCH)
		latch_count(&p->channel[channel], now);
	else
		vpit_set_mode(&p->channel[channel], (u8)FIELD_GET(CONTROL_MODE, value), access);
}

static u8 read_channel(struct vpit_channel *c, u64 now)
{
	u16 value = c->has_latch ? c->latch : vpit_value(c, now);
	bool high = c->access == VPIT_HIGH || (c->access == VPIT_BOTH && c->second_read);

	if (c->has_status) {
		c->has_status = false;
		return c->status;
	}
	if (c->access == VPIT_BOTH)
		c->second_read = !c->second_read;
	if (c->access != VPIT_BOTH || !c->second_read)
		c->has_latch = false;
	return (u8)(high ? value >> 8 : value);
}

static int read_pit(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct legacy *l = ctx;

	/* The control word cannot be read. */
	if (size != 1 || offset >= VPIT_CHANNELS)
		return 0;
	spin_lock(&l->lock);
	*value = read_channel(&l->pit.channel[offset], clock_ns());
	spin_unlock(&l->lock);
	return 0;
}

static int write_pit(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct legacy *l = ctx;

	if (size != 1)
		return 0;
	spin_lock(&l->lock);
	if (offset == PIT_CONTROL - PIT_FIRST)
		write_control(&l->pit, (u8)value, clock_ns());
	else
		vpit_write_count(&l->pit.channel[offset], (u8)value, clock_ns());
	spin_unlock(&l->lock);
	return 0;
}

static int read_port_b(void *ctx, struct vcpu *v __unused, u64 offset __unused, unsigned int size,
		       u64 *value)
{
	struct legacy *l = ctx;
	const struct vpit_channel *c = &l->pit.channel[2];
	u64 now = clock_ns();

	if (size != 1)
		return 0;
	spin_lock(&l->lock);
	*value = (c->gate ? PORT_B_GATE : 0) | (l->pit.speaker ? PORT_B_SPEAKER : 0) |
		 (now / REFRESH_NS & 1 ? PORT_B_REFRESH : 0) |
		 (vpit_output(c, now) ? PORT_B_OUTPUT : 0);
	spin_unlock(&l->lock);
	return 0;
}

static int write_port_b(void *ctx, struct vcpu *v __unused, u64 offset __unused, unsigned int size,
			u64 value)
{
	struct legacy *l = ctx;

	if (size != 1)
		return 0;
	spin_lock(&l->lock);
	l->pit.speaker = value & PORT_B_SPEAKER;
	vpit_set_gate(&l->pit.channel[2], value & PORT_B_GATE, clock_ns());
	spin_unlock(&l->lock);
	return 0;
}

int vpit_add_ports(struct legacy *l)
{
	const struct bus_range pit = {
		.first = PIT_FIRST,
		.last = PIT_CONTROL,
		.ctx = l,
		.read = read_pit,
		.write = write_pit,
	};
	const struct bus_range port_b = {
		.first = PORT_B,
		.last = PORT_B,
		.ctx = l,
		.read = read_port_b,
		.write = write_port_b,
	};
	int ret = bus_add(&l->domain->vm.io, &pit);

	return ret ? ret : bus_add(&l->domain->vm.io, &port_b);
}

void vpit_reset(struct legacy *l)
{
	l->pit = (struct vpit){ 0 };
	for (u32 i = 0; i < VPIT_CHANNELS; i++)
		l->pit.channel[i] = (struct vpit_channel){ .access = VPIT_BOTH, .gate = i != 2 };
}
