/* Creates and resets an emulated virtio device. See vvirtio.h. */
#include <kernel/guest/devices/virtio/vvirtio.h>

#include <kernel/abi/virtio_regs.h>
#include <kernel/guest/devices/virtio/vvirtioirq.h>
#include <kernel/guest/devices/virtio/vvirtiopci.h>

void vvirtio_config_changed(struct vvirtio *dev)
{
	assert_locked(&dev->lock);
	dev->generation++;
	if (dev->status & STATUS_DRIVER_OK)
		vvirtioirq_raise(dev, dev->config_vector);
}

bool vvirtio_is_driven(const struct vvirtio *dev)
{
	assert_locked(&dev->lock);
	return (dev->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK;
}

void vvirtio_needs_reset(struct vvirtio *dev)
{
	assert_locked(&dev->lock);
	dev->status |= STATUS_NEEDS_RESET;
	vvirtio_config_changed(dev);
}

void vvirtio_reset(struct vvirtio *dev)
{
	assert_locked(&dev->lock);
	dev->device_feature_select = dev->driver_feature_select = 0;
	dev->driver_features = 0;
	dev->config_vector = NO_VECTOR;
	dev->queue_select = 0;
	dev->status = 0;
	for (u32 i = 0; i < VVIRTIO_QUEUES; i++)
		dev->queue[i] = (struct vvirtio_queue){ .size = VVIRTIO_QUEUE_SIZE,
							.vector = NO_VECTOR };
	vvirtioirq_forget_pending(dev);
}

void vvirtio_power_on(struct vvirtio *dev)
{
	spin_lock(&dev->lock);
	vvirtiopci_power_on(dev);
	vvirtio_reset(dev);
	spin_unlock(&dev->lock);
}

void vvirtio_init(struct vvirtio *dev, struct domain *d, const struct vvirtio_ops *ops)
{
	spin_init(&dev->lock, LOCK_VVIRTIO);
	dev->domain = d;
	dev->ops = ops;
	vvirtio_power_on(dev);
}
