/* See kernel/guest/devices/legacy/vpicports.h. */
#include <kernel/guest/devices/legacy/vpicports.h>

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>

#define PIC1 0x20
#define PIC2 0xa0
/* Which lines are level-triggered, by bit (Intel ICH data sheets): none. */
#define ELCR 0x4d0

static int read_chip(struct legacy *l, u32 chip, u64 offset, unsigned int size, u64 *value)
{
	if (size != 1)
		return 0;
	spin_lock(&l->lock);
	*value = vpic_read(&l->pic, chip, offset);
	legacy_update(l); /* a poll acknowledges */
	spin_unlock(&l->lock);
	return 0;
}

static int write_chip(struct legacy *l, u32 chip, u64 offset, unsigned int size, u64 value)
{
	if (size != 1)
		return 0;
	spin_lock(&l->lock);
	vpic_write(&l->pic, chip, offset, (u8)value);
	legacy_update(l);
	spin_unlock(&l->lock);
	return 0;
}

static int read_pic1(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	return read_chip(ctx, 0, offset, size, value);
}

static int write_pic1(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	return write_chip(ctx, 0, offset, size, value);
}

static int read_pic2(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	return read_chip(ctx, 1, offset, size, value);
}

static int write_pic2(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	return write_chip(ctx, 1, offset, size, value);
}

static int read_elcr(void *ctx __unused, struct vcpu *v __unused, u64 offset __unused,
		     unsigned int size __unused, u64 *value)
{
	*value = 0;
	return 0;
}

int vpicports_add(struct legacy *l)
{
	const struct bus_range ranges[] = {
		{ .first = PIC1, .last = PIC1 + 1, .read = read_pic1, .write = write_pic1 },
		{ .first = PIC2, .last = PIC2 + 1, .read = read_pic2, .write = write_pic2 },
		{ .first = ELCR, .last = ELCR + 1, .read = read_elcr },
	};
	int ret = 0;

	for (u32 i = 0; !ret && i < ARRAY_SIZE(ranges); i++) {
		struct bus_range r = ranges[i];

		r.ctx = l;
		ret = bus_add(&l->domain->vm.io, &r);
	}
	return ret;
}

void vpicports_reset(struct legacy *l)
{
	vpic_power_on(&l->pic);
}
