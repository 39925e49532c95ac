/* The PCI config space of an emulated virtio device. See vvirtiopci.h. */
#include <kernel/guest/devices/virtio/vvirtiopci.h>

#include <drivers/pci.h>
#include <kernel/abi/virtio_regs.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/virtio/vvirtio.h>
#include <kernel/guest/devices/virtio/vvirtioirq.h>
#include <kernel/guest/devices/virtio/vvirtioregs.h>

#define CAP_FIRST 0x40u

/* The space for each capability. They are in the order of the list. */
#define CAP_BYTES 32u
#define VENDOR_CAP(type, offset, length)                                                           \
	{ PCI_CAP_VENDOR | 20u << 16 | (u32)(type) << 24, 0, offset, length, VVIRTIO_NOTIFY_STRIDE }
#define MSIX_CAP 4u

static u32 read_vvirtio_capability(const struct vvirtio *dev, u32 cap, u32 dword)
{
	const u32 vendor[MSIX_CAP][5] = {
		VENDOR_CAP(VIRTIO_CAP_COMMON, VVIRTIO_COMMON, sizeof(struct virtio_common)),
		VENDOR_CAP(VIRTIO_CAP_ISR, VVIRTIO_ISR, 1),
		VENDOR_CAP(VIRTIO_CAP_DEVICE, VVIRTIO_DEVICE, dev->ops->config_size),
		VENDOR_CAP(VIRTIO_CAP_NOTIFY, VVIRTIO_NOTIFY, VVIRTIO_NOTIFY_SIZE),
	};
	const u32 msix[] = { msix_control_read(&dev->msix, VVIRTIO_VECTORS), VVIRTIO_MSIX_TABLE,
			     VVIRTIO_MSIX_PENDING };
	u32 value = 0;

	if (cap < MSIX_CAP && dword < 5)
		value = vendor[cap][dword];
	else if (cap == MSIX_CAP && dword < 3)
		value = msix[dword];
	return !dword && cap < MSIX_CAP ? value | (CAP_FIRST + CAP_BYTES * (cap + 1)) << 8 : value;
}

u32 vvirtiopci_read(struct vvirtio *dev, u8 offset)
{
	u32 value = 0;

	spin_lock(&dev->lock);
	switch (offset) {
	case 0x00:
	case 0x2c:
		value = VIRTIO_VENDOR | (0x1040u + dev->ops->id) << 16;
		break;
	case 0x04:
		value = dev->command | (u32)PCI_STATUS_CAPABILITIES << 16;
		break;
	case 0x08:
		value = dev->ops->class << 8 | 1;
		break;
	case PCI_BAR0:
		value = dev->bar;
		break;
	case 0x34:
		value = CAP_FIRST;
		break;
	case 0x3c:
		value = dev->interrupt_line;
		break;
	default:
		if (offset >= CAP_FIRST)
			value = read_vvirtio_capability(dev, (offset - CAP_FIRST) / CAP_BYTES,
							(offset - CAP_FIRST) % CAP_BYTES / 4);
	}
	spin_unlock(&dev->lock);
	return value;
}

void vvirtiopci_write(struct vvirtio *dev, u8 offset, u32 value, u32 mask)
{
	spin_lock(&dev->lock);
	if (offset == PCI_COMMAND) {
		dev->command = (u16)((dev->command & ~mask) | (value & mask)) &
			       (u16)(PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER |
				     PCI_COMMAND_INTX_DISABLE);
		vvirtioregs_map(dev);
	} else if (offset == PCI_BAR0) {
		dev->bar = ((dev->bar & ~mask) | (value & mask)) & ~(u32)(VVIRTIO_BAR_SIZE - 1);
		vvirtioregs_map(dev);
	} else if (offset == 0x3c) {
		dev->interrupt_line = (u8)((dev->interrupt_line & ~mask) | (value & mask));
	} else if (offset == CAP_FIRST + CAP_BYTES * MSIX_CAP) {
		msix_control_write(&dev->msix, value, mask);
		vvirtioirq_send_pending(dev);
	}
	spin_unlock(&dev->lock);
}

void vvirtiopci_power_on(struct vvirtio *dev)
{
	assert_locked(&dev->lock);
	dev->command = 0;
	dev->bar = (u32)(VPCI_WINDOW_END - VVIRTIO_BAR_SIZE);
	vvirtioregs_map(dev);
	dev->interrupt_line = 0;
	vvirtioirq_power_on(dev);
}
