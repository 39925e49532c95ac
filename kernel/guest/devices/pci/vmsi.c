/* MSI of an assigned function. See vmsi.h. */
#include <kernel/guest/devices/pci/vmsi.h>

#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vpci.h>

/* Message control is the upper half of the capability's first dword. */
#define MSI_CONTROL_ENABLE (PCI_MSI_ENABLE << 16)
#define MSI_CONTROL_64 (PCI_MSI_64 << 16)
#define MSI_CONTROL_MASKS (PCI_MSI_MASKS << 16)

/* The capability's length depends on the device (figure 6-9). */
static u32 data_offset(u32 control)
{
	return control & (u32)PCI_MSI_64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;
}

static u32 mask_offset(u32 control)
{
	return data_offset(control) + 4;
}

static u32 pending_offset(u32 control)
{
	return data_offset(control) + 8;
}

static u32 read_control(const struct vfunction *f)
{
	return device_config_read32(f, f->dev->msi) >> 16;
}

/* Write message control, unless it is as it should be. */
static void set_control(const struct vfunction *f, u32 *control, u32 value)
{
	if (*control != value)
		device_config_write16(f, f->dev->msi + PCI_MSI_CONTROL, value);
	*control = value;
}

/* Write the message. A device that may send must not see half of it, so MSI is switched off first,
 * which may lose an interrupt: nothing is written if it is there already. */
static void set_message(const struct vfunction *f, u32 *control)
{
	u32 cap = f->dev->msi, data_at = cap + data_offset(*control), data;
	u64 address, old = device_config_read32(f, cap + PCI_MSI_ADDRESS);

	if (*control & (u32)PCI_MSI_64)
		old |= (u64)device_config_read32(f, cap + PCI_MSI_ADDRESS_HIGH) << 32;
	iommu_irtes_message(&f->irtes, f->msi.index, &address, &data);
	if (old == address && (device_config_read32(f, data_at) & 0xffff) == data)
		return;
	set_control(f, control, *control & ~(u32)PCI_MSI_ENABLE);
	device_config_write32(f, cap + PCI_MSI_ADDRESS, (u32)address);
	if (*control & (u32)PCI_MSI_64)
		device_config_write32(f, cap + PCI_MSI_ADDRESS_HIGH, (u32)(address >> 32));
	device_config_write16(f, data_at, data);
}

static void set_mask(const struct vfunction *f, u32 control, bool masked)
{
	u32 at = f->dev->msi + mask_offset(control);

	if (device_config_read32(f, at) != masked)
		device_config_write32(f, at, masked);
}

/* A device that can mask MSI keeps what it may not send as its pending bit, so it is masked. One
 * that cannot is switched off. */
void vmsi_update_device(struct vfunction *f)
{
	u32 control = read_control(f);
	bool can_mask = control & (u32)PCI_MSI_MASKS;
	bool send = virq_update(&f->msi) && f->msi_enabled && !irqstorm_holds(f);

	assert_locked(&f->bus->lock);
	if (!send && !(can_mask && f->msi_enabled && f->allocated & BIT(f->msi.index))) {
		set_control(f, &control, control & ~(u32)PCI_MSI_ENABLE);
		return;
	}
	set_message(f, &control);
	if (can_mask)
		set_mask(f, control, !send);
	/* One vector. */
	set_control(f, &control, (control & ~(u32)PCI_MSI_COUNT) | (u32)PCI_MSI_ENABLE);
}

void vmsi_resume(struct vfunction *f)
{
	bool can_mask;

	if (!f->msi_enabled)
		return;
	can_mask = read_control(f) & (u32)PCI_MSI_MASKS;
	/* One that cannot mask gets one interrupt in any case, once it is on again. */
	if (!can_mask)
		virq_forget_latched(f, BIT(f->msi.index));
	vmsi_update_device(f);
	if (can_mask)
		virq_deliver_latched(&f->msi);
	else
		virq_latch(&f->msi);
}

static u32 read_pending(const struct vfunction *f, u32 control)
{
	return (device_config_read32(f, f->dev->msi + pending_offset(control)) & 1) |
	       (read_once(&f->pending) >> f->msi.index & 1);
}

u32 vmsi_read(const struct vfunction *f, u8 offset)
{
	u32 control = read_control(f);

	assert_locked(&f->bus->lock);
	if (offset == 0)
		return PCI_CAP_MSI | (control << 16 & (u32)(MSI_CONTROL_64 | MSI_CONTROL_MASKS)) |
		       (f->msi_enabled ? (u32)MSI_CONTROL_ENABLE : 0);
	if (offset == PCI_MSI_ADDRESS)
		return (u32)f->msi.message.address;
	if (offset == data_offset(control))
		return f->msi.message.data;
	if (offset == PCI_MSI_ADDRESS_HIGH)
		return (u32)(f->msi.message.address >> 32);
	if (!(control & (u32)PCI_MSI_MASKS))
		return 0;
	if (offset == mask_offset(control))
		return f->msi.message.masked;
	return offset == pending_offset(control) ? read_pending(f, control) : 0;
}

void vmsi_write(struct vfunction *f, u8 offset, u32 value, u32 mask)
{
	struct msix_entry *m = &f->msi.message;
	u32 control = read_control(f);

	assert_locked(&f->bus->lock);
	if (offset == 0) {
		if (!(mask & MSI_CONTROL_ENABLE))
			return;
		write_once(&f->msi_enabled, !!(value & MSI_CONTROL_ENABLE));
		if (!f->msi_enabled)
			virq_forget_latched(f, BIT(f->msi.index));
	} else if (offset == PCI_MSI_ADDRESS) {
		m->address = ((m->address & ~(u64)mask) | (value & mask)) & ~3UL;
	} else if (offset == data_offset(control)) {
		m->data = ((m->data & ~mask) | (value & mask)) & 0xffff;
	} else if (offset == PCI_MSI_ADDRESS_HIGH && control & (u32)PCI_MSI_64) {
		m->address = (m->address & ~((u64)mask << 32)) | (u64)(value & mask) << 32;
	} else if (offset == mask_offset(control) && control & (u32)PCI_MSI_MASKS) {
		m->masked = ((m->masked & ~mask) | (value & mask)) & 1;
	} else {
		return;
	}
	vmsi_update_device(f);
}

void vmsi_disable(const struct vfunction *f)
{
	if (f->dev->msi)
		device_config_write16(f, f->dev->msi + 2u, 0);
}
