/* Configuration mechanism 1 of a guest. See vpciports.h. */
#include <kernel/guest/devices/pci/vpciports.h>

#include <kernel/guest/devices/pci/vconfig.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/virtio/vvirtiopci.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_ENABLE BIT(31)
#define CONFIG_BUS MASK(23, 16)
#define CONFIG_DEVICE MASK(15, 11)
#define CONFIG_FUNCTION MASK(10, 8)
#define CONFIG_REGISTER MASK(7, 2)

/* The host bridge at 00:00.0, for software that looks for one. It has no BARs and no
 * capabilities. */
static u32 read_host_bridge(u8 offset)
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

static u32 read_data(struct vpci *p)
{
	u32 dev = (u32)FIELD_GET(CONFIG_DEVICE, p->address);
	u8 offset = (u8)(p->address & CONFIG_REGISTER);

	assert_locked(&p->lock);
	if (!(p->address & CONFIG_ENABLE) || (p->address & (CONFIG_BUS | CONFIG_FUNCTION)))
		return ~0u;
	if (!dev)
		return read_host_bridge(offset);
	if (dev == VPCI_BALLOON_SLOT && p->domain->balloon)
		return vvirtiopci_read(p->domain->balloon, offset);
	return p->slot[dev] ? vconfig_read(p->slot[dev], offset) : ~0u;
}

static enum step write_data(struct vpci *p, u32 value, u32 mask)
{
	u32 dev = (u32)FIELD_GET(CONFIG_DEVICE, p->address);
	u8 offset = (u8)(p->address & CONFIG_REGISTER);

	assert_locked(&p->lock);
	if (!(p->address & CONFIG_ENABLE) || (p->address & (CONFIG_BUS | CONFIG_FUNCTION)))
		return STEP_DONE;
	if (dev == VPCI_BALLOON_SLOT && p->domain->balloon)
		vvirtiopci_write(p->domain->balloon, offset, value, mask);
	else if (p->slot[dev])
		return vconfig_write(p->slot[dev], offset, value, mask);
	return STEP_DONE;
}

/* The reset control register of Intel's chipsets (ICH data sheets, RST_CNT): bit 2 resets the
 * machine when it becomes 1, so it always reads as 0. The others say how, which makes no difference
 * here. */
#define RESET_CONTROL 1
#define RESET_CPU BIT(2)
#define RESET_HOW (BIT(1) | BIT(3))

static void write_reset_control(struct vpci *p, u8 value)
{
	spin_lock(&p->lock);
	p->reset_control = value & RESET_HOW;
	spin_unlock(&p->lock);
	if (value & RESET_CPU)
		domain_reboot(p->domain, "asked for a reboot", 0);
}

/* Offsets 0 to 3 are CONFIG_ADDRESS, which responds only to dword accesses, so that a byte of it
 * can be another register; 4 to 7 are CONFIG_DATA, for accesses of any width. */
static int read_ports(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct vpci *p = ctx;

	spin_lock(&p->lock);
	if (offset == 0 && size == 4)
		*value = p->address;
	else if (offset == RESET_CONTROL && size == 1)
		*value = p->reset_control;
	else if (offset >= 4 && (offset & 3) + size <= 4)
		*value = (read_data(p) >> 8 * (offset & 3)) & (~0UL >> (64 - 8 * size));
	spin_unlock(&p->lock);
	return 0;
}

/* What takes several steps is written again, and interrupts are taken between them. */
static int write_ports(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 value)
{
	struct vpci *p = ctx;
	u32 shift = 8 * (offset & 3), mask = (u32)(~0UL >> (64 - 8 * size));
	enum step ret = STEP_DONE;

	if (offset == RESET_CONTROL && size == 1) {
		write_reset_control(p, (u8)value);
		return 0;
	}
	spin_lock(&p->lock);
	if (offset == 0 && size == 4)
		p->address = (u32)value & (u32)(CONFIG_ENABLE | 0xfffffc);
	else if (offset >= 4 && (offset & 3) + size <= 4)
		ret = write_data(p, (u32)value << shift, mask << shift);
	spin_unlock(&p->lock);
	return ret == STEP_MORE ? -EAGAIN : 0;
}

int vpciports_add(struct vpci *p)
{
	const struct bus_range r = {
		.first = CONFIG_ADDRESS,
		.last = CONFIG_ADDRESS + 7,
		.ctx = p,
		.read = read_ports,
		.write = write_ports,
	};

	return bus_add(&p->domain->vm.io, &r);
}
