/* A domain's PCI bus: mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2), a host bridge, and who sits
 * where. */
#include <kernel/vpcifn.h>

#include <kernel/abi/control.h>
#include <kernel/alloc.h>
#include <kernel/atomic.h>
#include <kernel/domain.h>
#include <kernel/errno.h>
#include <kernel/log.h>
#include <kernel/options.h>
#include <kernel/string.h>

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_ENABLE BIT(31)
#define CONFIG_BUS MASK(23, 16)
#define CONFIG_DEVICE MASK(15, 11)
#define CONFIG_FUNCTION MASK(10, 8)
#define CONFIG_REGISTER MASK(7, 2)

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
	u32 dev = (u32)FIELD_GET(CONFIG_DEVICE, p->address);
	u8 offset = (u8)(p->address & CONFIG_REGISTER);

	if (!(p->address & CONFIG_ENABLE) || (p->address & (CONFIG_BUS | CONFIG_FUNCTION)))
		return ~0u;
	if (!dev)
		return bridge_read(offset);
	return p->slot[dev] ? vconfig_read(p->slot[dev], offset) : ~0u;
}

static void config_write(struct vpci *p, u32 value, u32 mask)
{
	u32 dev = (u32)FIELD_GET(CONFIG_DEVICE, p->address);

	if ((p->address & CONFIG_ENABLE) && !(p->address & (CONFIG_BUS | CONFIG_FUNCTION)) &&
	    p->slot[dev])
		vconfig_write(p->slot[dev], (u8)(p->address & CONFIG_REGISTER), value, mask);
}

/* Offsets 0..3 are CONFIG_ADDRESS, which is a dword or nothing; 4..7 are CONFIG_DATA, of any
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
		p->address = (u32)value & (u32)(CONFIG_ENABLE | 0xfffffc);
	else if (offset >= 4 && (offset & 3) + size <= 4)
		config_write(p, (u32)value << shift, mask << shift);
	spin_unlock(&p->lock);
	return 0;
}

int vpci_init(struct domain *d)
{
	struct vpci *p = kzalloc(sizeof(*p));
	struct bus_range r = {
		.first = CONFIG_ADDRESS,
		.last = CONFIG_ADDRESS + 7,
		.ctx = p,
		.read = port_read,
		.write = port_write,
	};

	if (!p)
		return -ENOMEM;
	p->domain = d;
	d->pci = p;
	return bus_add(&d->io, &r);
}

const char *vpci_why_not(const struct pci_device *dev, bool trusted)
{
	if (!dev)
		return "there is no such device: the boot log with loglevel=debug lists those that are there";
	if (dev->header || dev->class >> 8 == 0x06)
		return "it is a bridge, which stays with Weir: name the device behind it";
	if (iommu_why_not(dev->id, trusted))
		return iommu_why_not(dev->id, trusted);
	if (!dev->bars_ok)
		return "the firmware has not set up its BARs: Weir does not move them";
	if (!dev->msi && !dev->msix)
		return "it has neither MSI nor MSI-X, and Weir does not pass legacy interrupts on";
	return NULL;
}

/* NULL, or what speaks against giving the function to d. */
static const char *why_not(const struct domain *d, const struct pci_device *dev, u32 flags,
			   char *buf, size_t size)
{
	const char *why = vpci_why_not(dev, d->privileged);
	struct weir_domain_info owner;

	if (why)
		return why;
	if (d->privileged && options.control_iommu == IDENTITY_NONE)
		return "control-iommu=none leaves the control domain without devices: say strict";
	if (dev->owner) {
		(void)domain_info(dev->owner, &owner);
		snprintf(buf, size,
			 "it belongs to domain %s already: take it out of one of the two lines",
			 owner.name);
		return buf;
	}
	if ((flags & IOMMU_ATS) && iommu_why_no_ats(dev->id)) {
		snprintf(buf, size, "its own TLB cannot be used: %s: take ats away",
			 iommu_why_no_ats(dev->id));
		return buf;
	}
	return NULL;
}

static struct vfunction *make_function(struct vpci *p, struct pci_device *dev)
{
	struct vfunction *f = kzalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->domain = p->domain;
	f->bus = p;
	f->dev = dev;
	if (vbar_place(f)) {
		kfree(f);
		return NULL;
	}
	if (vmsi_init(f)) {
		vmsi_free(f);
		kfree(f);
		return NULL;
	}
	return f;
}

/* Its own device number if that is free, so that guests see what the administrator wrote. */
static u32 choose_slot(const struct vpci *p, const struct pci_device *dev)
{
	u32 slot = dev->id.bdf >> 3 & 31;

	if (!slot || p->slot[slot])
		for (slot = 1; slot < VPCI_SLOTS && p->slot[slot]; slot++)
			;
	return slot;
}

/* The device as its new owner should find it. Nobody runs yet, so waiting is allowed: boot. */
static void reset_for(const struct domain *d, struct pci_device *dev, const char *name)
{
	if (!pci_reset_start(dev)) {
		log_warn("domain %s: device %s cannot be reset: it starts as the firmware left it",
			 d->name, name);
		return;
	}
	clock_delay_us((u32)(PCI_RESET_NS / 1000));
	pci_reset_finish(dev);
}

int vpci_assign(struct domain *d, struct pci_id id, u32 flags)
{
	struct pci_device *dev = pci_find(id);
	struct vpci *p = d->pci;
	struct vfunction *f;
	char name[16], buf[160];
	const char *why = why_not(d, dev, flags, buf, sizeof(buf));
	u32 slot;
	int ret;

	pci_name(id, name);
	if (why) {
		log_err("domain %s: pci=%s: %s", d->name, name, why);
		return -EINVAL;
	}
	slot = choose_slot(p, dev);
	f = slot < VPCI_SLOTS ? make_function(p, dev) : NULL;
	if (!f) {
		log_err("domain %s: pci=%s: %s", d->name, name,
			slot < VPCI_SLOTS ?
				"its BARs do not fit into a guest's device window, or there is no memory" :
				"its PCI bus (VPCI_SLOTS) is full");
		return -ENOSPC;
	}
	pci_set_bus_master(dev, false);
	reset_for(d, dev, name);
	ret = iommu_attach(d->iommu, id, flags);
	if (ret) {
		log_err("domain %s: pci=%s: the IOMMU refuses it (error %d)", d->name, name, -ret);
		vmsi_free(f);
		kfree(f);
		return ret;
	}
	pci_config_write16(id.segment, id.bdf, PCI_COMMAND,
			   PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	dev->owner = d->id;
	p->slot[slot] = f;
	log_info("domain %s: device %s (%04x:%04x) at 00:%02x.0, %u MSI-X vectors%s", d->name, name,
		 dev->vendor, dev->device, slot, f->nr_vectors, dev->msi ? ", MSI" : "");
	return 0;
}

/* --- the way back ----------------------------------------------------------------------------------------------------------- */

void vpci_leaving_one(struct vpci *bus)
{
	(void)atomic_add(&bus->leaving, 1);
}

void vpci_left_one(struct vpci *bus)
{
	void (*left)(void *arg) = bus->left;
	void *arg = bus->left_arg;

	if (atomic_sub(&bus->leaving, 1))
		return;
	for (u32 i = 0; i < VPCI_SLOTS; i++) {
		struct vfunction *f = bus->slot[i];

		if (!f)
			continue;
		f->dev->owner = 0;
		vmsi_free(f);
		kfree(f);
	}
	bus->domain->pci = NULL;
	kfree(bus);
	left(arg);
}

static void reset_done(struct timer *t)
{
	struct vfunction *f = container_of(t, struct vfunction, reset_timer);

	pci_reset_finish(f->dev);
	vpci_left_one(f->bus);
}

/* No translation of the device is cached any more: now it may be reset (and answer nothing for a
 * while). The time passes in any case, so that an interrupt that was on its way has been taken
 * before the vectors' records go. */
static void detached(void *arg)
{
	struct vfunction *f = arg;

	(void)pci_reset_start(f->dev);
	timer_init(&f->reset_timer, reset_done);
	timer_set(&f->reset_timer, clock_ns() + PCI_RESET_NS);
}

void vpci_remove_all(struct domain *d, void (*done)(void *arg), void *arg)
{
	struct vpci *p = d->pci;

	if (!p) {
		done(arg);
		return;
	}
	p->left = done;
	p->left_arg = arg;
	vpci_leaving_one(p); /* this function itself */
	for (u32 i = 0; i < VPCI_SLOTS; i++) {
		struct vfunction *f = p->slot[i];

		if (!f)
			continue;
		spin_lock(&p->lock);
		pci_set_bus_master(f->dev, false);
		vbar_unmap_all(f);
		spin_unlock(&p->lock);
		vmsi_remove(f);
		vpci_leaving_one(p);
		iommu_detach(f->dev->id, detached, f);
	}
	vpci_left_one(p);
}
