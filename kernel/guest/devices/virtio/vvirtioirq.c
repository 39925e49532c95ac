/* Interrupts of an emulated virtio device. See vvirtioirq.h. */
#include <kernel/guest/devices/virtio/vvirtioirq.h>

#include <kernel/guest/devices/pci/virq.h>
#include <kernel/guest/devices/virtio/vvirtio.h>

static void send_or_pend(struct vvirtio *dev, u32 vector)
{
	const struct msix_entry *e = &dev->vector[vector].entry;

	dev->vector[vector].pending = dev->msix.masked || e->masked;
	if (!dev->vector[vector].pending)
		(void)virq_send(dev->domain, e->address, e->data);
}

void vvirtioirq_raise(struct vvirtio *dev, u16 vector)
{
	assert_locked(&dev->lock);
	if (dev->msix.enabled && vector < VVIRTIO_VECTORS)
		send_or_pend(dev, vector);
}

void vvirtioirq_send_pending(struct vvirtio *dev)
{
	assert_locked(&dev->lock);
	for (u32 i = 0; dev->msix.enabled && i < VVIRTIO_VECTORS; i++)
		if (dev->vector[i].pending)
			send_or_pend(dev, i);
}

void vvirtioirq_forget_pending(struct vvirtio *dev)
{
	assert_locked(&dev->lock);
	for (u32 i = 0; i < VVIRTIO_VECTORS; i++)
		dev->vector[i].pending = false;
}

u8 vvirtioirq_pending_bits(const struct vvirtio *dev)
{
	u8 bits = 0;

	assert_locked(&dev->lock);
	for (u32 i = 0; i < VVIRTIO_VECTORS; i++)
		bits |= (u8)(dev->vector[i].pending << i);
	return bits;
}

u32 vvirtioirq_table_read(const struct vvirtio *dev, u32 offset)
{
	const struct msix_entry *e = &dev->vector[offset / MSIX_ENTRY_SIZE].entry;

	assert_locked(&dev->lock);
	return msix_entry_read(e, offset % MSIX_ENTRY_SIZE);
}

void vvirtioirq_table_write(struct vvirtio *dev, u32 offset, u32 value)
{
	struct msix_entry *e = &dev->vector[offset / MSIX_ENTRY_SIZE].entry;

	assert_locked(&dev->lock);
	msix_entry_write(e, offset % MSIX_ENTRY_SIZE, value);
	vvirtioirq_send_pending(dev);
}

void vvirtioirq_power_on(struct vvirtio *dev)
{
	assert_locked(&dev->lock);
	dev->msix = (struct msix_control){ 0 };
	for (u32 i = 0; i < VVIRTIO_VECTORS; i++)
		dev->vector[i].entry = (struct msix_entry){ .masked = true };
}
