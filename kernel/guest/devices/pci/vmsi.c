/* MSI of an assigned function. See vmsi.h. */
#include <kernel/guest/devices/pci/vmsi.h>

#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vpci.h>

/* Message control is the upper half of the capability's first dword. */
#define MSI_CONTROL_ENABLE (PCI_MSI_ENABLE << 16)
#define MSI_CONTROL_64 (PCI_MSI_64 << 16)

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
	u32 cap = f->dev->msi,
	    data_at = *control & (u32)PCI_MSI_64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32;
	u64 address, old = device_config_read32(f, cap + PCI_MSI_ADDRESS);
	u32 data;

	if (*control & (u32)PCI_MSI_64)
		old |= (u64)device_config_read32(f, cap + PCI_MSI_ADDRESS_HIGH) << 32;
	iommu_irte_message(&f->msi.irte, &address, &data);
	if (old == address && (device_config_read32(f, cap + data_at) & 0xffff) == data)
		return;
	set_control(f, control, *control & ~(u32)PCI_MSI_ENABLE);
	device_config_write32(f, cap + PCI_MSI_ADDRESS, (u32)address);
	if (*control & (u32)PCI_MSI_64)
		device_config_write32(f, cap + PCI_MSI_ADDRESS_HIGH, (u32)(address >> 32));
	device_config_write16(f, cap + data_at, data);
}

void vmsi_update_device(struct vfunction *f)
{
	u32 cap = f->dev->msi, control = device_config_read32(f, cap) >> 16, mask_at;

	assert_locked(&f->bus->lock);
	if (!virq_update(&f->msi, f->msi_enabled) || f->storm.paused) {
		set_control(f, &control, control & ~(u32)PCI_MSI_ENABLE);
		return;
	}
	set_message(f, &control);
	mask_at = cap + (control & (u32)PCI_MSI_64 ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32) + 4;
	if (control & (u32)PCI_MSI_MASKS && device_config_read32(f, mask_at))
		device_config_write32(f, mask_at, 0);
	/* One vector. */
	set_control(f, &control, (control & ~(u32)PCI_MSI_COUNT) | (u32)PCI_MSI_ENABLE);
}

u32 vmsi_read(const struct vfunction *f, u8 offset)
{
	assert_locked(&f->bus->lock);
	switch (offset) {
	case 0:
		return PCI_CAP_MSI | (u32)MSI_CONTROL_64 |
		       (f->msi_enabled ? (u32)MSI_CONTROL_ENABLE : 0);
	case 4:
		return (u32)f->msi.message.address;
	case 8:
		return (u32)(f->msi.message.address >> 32);
	case 12:
		return f->msi.message.data;
	default:
		return 0;
	}
}

void vmsi_write(struct vfunction *f, u8 offset, u32 value, u32 mask)
{
	struct msix_entry *m = &f->msi.message;

	assert_locked(&f->bus->lock);
	switch (offset) {
	case 0:
		if (!(mask & MSI_CONTROL_ENABLE))
			return;
		f->msi_enabled = value & MSI_CONTROL_ENABLE;
		break;
	case 4:
		m->address = ((m->address & ~(u64)mask) | (value & mask)) & ~3UL;
		break;
	case 8:
		m->address = (m->address & ~((u64)mask << 32)) | (u64)(value & mask) << 32;
		break;
	case 12:
		m->data = ((m->data & ~mask) | (value & mask)) & 0xffff;
		break;
	default:
		return;
	}
	vmsi_update_device(f);
}

void vmsi_disable(const struct vfunction *f)
{
	if (f->dev->msi)
		device_config_write16(f, f->dev->msi + 2u, 0);
}
