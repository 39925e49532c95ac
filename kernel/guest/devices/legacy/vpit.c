/* System control port B: bit 0 the gate of timer channel 2, bit 1 the speaker (Intel ICH data
 * sheets, NMI_SC). See vpit.h. */
#include <kernel/guest/devices/legacy/vpit.h>

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>

#define PORT_B 0x61
#define PORT_B_WRITABLE 0x03

static int read_port_b(void *ctx, struct vcpu *v __unused, u64 offset __unused, unsigned int size,
		       u64 *value)
{
	struct legacy *l = ctx;

	if (size == 1)
		*value = read_once(&l->pit.port_b);
	return 0;
}

static int write_port_b(void *ctx, struct vcpu *v __unused, u64 offset __unused, unsigned int size,
			u64 value)
{
	struct legacy *l = ctx;

	if (size != 1)
		return 0;
	spin_lock(&l->lock);
	write_once(&l->pit.port_b, (u8)(value & PORT_B_WRITABLE));
	spin_unlock(&l->lock);
	return 0;
}

int vpit_add_ports(struct legacy *l)
{
	const struct bus_range port_b = {
		.first = PORT_B,
		.last = PORT_B,
		.ctx = l,
		.read = read_port_b,
		.write = write_port_b,
	};

	return bus_add(&l->domain->vm.io, &port_b);
}

void vpit_reset(struct legacy *l)
{
	l->pit.port_b = 0;
}
