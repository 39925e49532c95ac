/* Ports for debug output of a guest. See vdebug.h. */
#include <kernel/guest/devices/legacy/vdebug.h>

#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/devices/vuart.h>
#include <kernel/guest/domain/domain.h>

#define BOCHS_PORT 0xe9
#define FIRMWARE_PORT 0x402
#define PRESENT 0xe9 /* what software reads to find out whether they are there */

static int read_debug(void *ctx __unused, struct vcpu *v __unused, u64 offset __unused,
		      unsigned int size, u64 *value)
{
	if (size == 1)
		*value = PRESENT;
	return 0;
}

static int write_debug(void *ctx, struct vcpu *v __unused, u64 offset __unused, unsigned int size,
		       u64 value)
{
	struct legacy *l = ctx;

	if (size == 1)
		vuart_print(l->domain->uart, (u8)value);
	return 0;
}

static int add_port(struct legacy *l, u16 port)
{
	const struct bus_range r = {
		.first = port,
		.last = port,
		.ctx = l,
		.read = read_debug,
		.write = write_debug,
	};

	return bus_add(&l->domain->vm.io, &r);
}

int vdebug_add_ports(struct legacy *l)
{
	int ret = add_port(l, BOCHS_PORT);

	return ret ? ret : add_port(l, FIRMWARE_PORT);
}

void vdebug_reset(struct legacy *l __unused)
{
}
