/* A domain's PCI bus: mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2), a host bridge, and who sits
 * where. */
#include <kernel/guest/devices/pci/vpcifn.h>

#include <kernel/mm/alloc.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/devices/virtio/vvirtio.h>
#include <kernel/x86/pci_ports.h>

/* The bridge at 00:00.0 exists for software that looks for one: no BARs, no capabilities. */
static u32 bridge_read(u8 offset)
{
	switch (offset) {
	case 0x00:
		return 0x29c08086;
	case 0x08:
		return 0x06000000;
	default:
		return 0;
	}
}

static u32 config_read(struct vpci *p)
{
	u32 dev = (u32)FIELD_GET(PCI_CONFIG_DEVICE, p->address);
	u8 offset = (u8)(p->address & PCI_CONFIG_REGISTER);

	if (!(p->address & PCI_CONFIG_ENABLE) || (p->address & (PCI_CONFIG_BUS | PCI_CONFIG_FUNCTION)))
		return ~0u;
	if (!dev)
		return bridge_read(offset);
	if (dev == VVIRTIO_SLOT && p->domain->balloon)
		return vvirtio_config_read(p->domain->balloon, offset);
	return p->slot[dev] ? vconfig_read(p->slot[dev], offset) : ~0u;
}

static void config_write(struct vpci *p, u32 value, u32 mask)
{
	u32 dev = (u32)FIELD_GET(PCI_CONFIG_DEVICE, p->address);
	u8 offset = (u8)(p->address & PCI_CONFIG_REGISTER);

	if (!(p->address & PCI_CONFIG_ENABLE) || (p->address & (PCI_CONFIG_BUS | PCI_CONFIG_FUNCTION)))
		return;
	if (dev == VVIRTIO_SLOT && p->domain->balloon)
		vvirtio_config_write(p->domain->balloon, offset, value, mask);
	else if (p->slot[dev])
		vconfig_write(p->slot[dev], offset, value, mask);
}

/* Offsets 0..3 are PCI_CONFIG_ADDRESS, which is a dword or nothing; 4..7 are PCI_CONFIG_DATA, of any
 * width. */
static int port_read(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct vpci *p = ctx;

	spin_lock(&p->lock);
	if (offset == 0 && size == 4)
		*value = p->address;
	else if (offset >= 4 && (offset & 3) + size <= 4)
		*value = (config_read(p) >> 8 * (offset & 3)) & (~0UL >> (64 - 8 * size));
	spin_unlock(&p->lock);
	return 0;
}

static int port_write(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct vpci *p = ctx;
	u32 shift = 8 * (offset & 3), mask = (u32)(~0UL >> (64 - 8 * size));

	spin_lock(&p->lock);
	if (offset == 0 && size == 4)
		p->address = (u32)value & (u32)(PCI_CONFIG_ENABLE | 0xfffffc);
	else if (offset >= 4 && (offset & 3) + size <= 4)
		config_write(p, (u32)value << shift, mask << shift);
	spin_unlock(&p->lock);
	return 0;
}

int vpci_init(struct domain *d)
{
	struct vpci *p = kzalloc(sizeof(*p));
	struct bus_range r = {
		.first = PCI_CONFIG_ADDRESS,
		.last = PCI_CONFIG_ADDRESS + 7,
		.ctx = p,
		.read = port_read,
		.write = port_write,
	};

	if (!p)
		return -ENOMEM;
	spin_init(&p->lock, LOCK_VPCI);
	p->domain = d;
	list_init(&p->functions);
	d->pci = p;
	return bus_add(&d->vm.io, &r);
}
