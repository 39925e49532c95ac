/* The registers of an emulated virtio device. See vvirtioregs.h. */
#include <kernel/guest/devices/virtio/vvirtioregs.h>

#include <drivers/pci.h>
#include <kernel/abi/virtio_regs.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/devices/virtio/vvirtio.h>
#include <kernel/guest/devices/virtio/vvirtioirq.h>
#include <kernel/guest/devices/virtio/vvirtioqueue.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/string.h>

/* --- common configuration ------------------------------------------------- */

static u64 offered_features(const struct vvirtio *dev)
{
	return dev->ops->features | VIRTIO_F_VERSION_1;
}

static struct vvirtio_queue *selected_queue(struct vvirtio *dev)
{
	return dev->queue_select < VVIRTIO_QUEUES ? &dev->queue[dev->queue_select] : NULL;
}

static void read_common(struct vvirtio *dev, struct virtio_common *c)
{
	const struct vvirtio_queue *q = selected_queue(dev);

	*c = (struct virtio_common){
		.device_feature_select = dev->device_feature_select,
		.driver_feature_select = dev->driver_feature_select,
		.config_msix_vector = dev->config_vector,
		.num_queues = VVIRTIO_QUEUES,
		.device_status = dev->status,
		.config_generation = dev->generation,
		.queue_select = dev->queue_select,
	};
	if (dev->device_feature_select < 2)
		c->device_feature = (u32)(offered_features(dev) >> 32 * dev->device_feature_select);
	if (dev->driver_feature_select < 2)
		c->driver_feature = (u32)(dev->driver_features >> 32 * dev->driver_feature_select);
	if (!q)
		return;
	c->queue_size = q->size;
	c->queue_msix_vector = q->vector;
	c->queue_enable = q->enabled;
	c->queue_notify_off = dev->queue_select;
	memcpy(c->queue_desc, &q->desc, 8);
	memcpy(c->queue_driver, &q->driver, 8);
	memcpy(c->queue_device, &q->device, 8);
}

static void write_status(struct vvirtio *dev, u8 status)
{
	if (!status) {
		vvirtio_reset(dev);
		return;
	}
	/* Refuse features that are not offered: the driver reads FEATURES_OK back as 0 (3.1.1). */
	if ((dev->driver_features & ~offered_features(dev)) ||
	    !(dev->driver_features & VIRTIO_F_VERSION_1))
		status &= (u8)~STATUS_FEATURES_OK;
	if (!((dev->status | status) & STATUS_FEATURES_OK))
		status &= (u8)~STATUS_DRIVER_OK;
	dev->status |= status;
}

static u16 usable_vector(u64 value)
{
	return value < VVIRTIO_VECTORS ? (u16)value : (u16)NO_VECTOR;
}

static void write_half(u64 *address, u32 upper, u64 value)
{
	u32 shift = 32 * upper;

	*address = (*address & ~(0xffffffffUL << shift)) | (value & 0xffffffff) << shift;
}

static bool is_queue_aligned(const struct vvirtio_queue *q)
{
	return !(q->desc & 15) && !(q->driver & 1) && !(q->device & 3);
}

/* A queue can be set up only before it is enabled (4.1.4.3.2). q is NULL if there is no such
 * queue. */
static void write_queue(struct vvirtio_queue *q, u64 offset, u64 value)
{
	if (!q || q->enabled)
		return;
	switch (offset) {
	case offsetof(struct virtio_common, queue_size):
		if (value && value <= VVIRTIO_QUEUE_SIZE && !(value & (value - 1)))
			q->size = (u16)value;
		break;
	case offsetof(struct virtio_common, queue_msix_vector):
		q->vector = usable_vector(value);
		break;
	case offsetof(struct virtio_common, queue_enable):
		q->enabled = value == 1 && is_queue_aligned(q);
		break;
	case offsetof(struct virtio_common, queue_desc[0]):
	case offsetof(struct virtio_common, queue_desc[1]):
		write_half(&q->desc, offset & 4 ? 1 : 0, value);
		break;
	case offsetof(struct virtio_common, queue_driver[0]):
	case offsetof(struct virtio_common, queue_driver[1]):
		write_half(&q->driver, offset & 4 ? 1 : 0, value);
		break;
	case offsetof(struct virtio_common, queue_device[0]):
	case offsetof(struct virtio_common, queue_device[1]):
		write_half(&q->device, offset & 4 ? 1 : 0, value);
		break;
	default:
		break;
	}
}

static void write_common(struct vvirtio *dev, u64 offset, u64 value)
{
	switch (offset) {
	case offsetof(struct virtio_common, device_feature_select):
		dev->device_feature_select = (u32)value;
		break;
	case offsetof(struct virtio_common, driver_feature_select):
		dev->driver_feature_select = (u32)value;
		break;
	case offsetof(struct virtio_common, driver_feature):
		if (dev->driver_feature_select < 2 && !(dev->status & STATUS_FEATURES_OK))
			write_half(&dev->driver_features, dev->driver_feature_select, value);
		break;
	case offsetof(struct virtio_common, config_msix_vector):
		dev->config_vector = usable_vector(value);
		break;
	case offsetof(struct virtio_common, device_status):
		write_status(dev, (u8)value);
		break;
	case offsetof(struct virtio_common, queue_select):
		dev->queue_select = (u16)value;
		break;
	default:
		write_queue(selected_queue(dev), offset, value);
	}
}

/* --- the BAR -------------------------------------------------------------- */

static bool is_in_device_config(const struct vvirtio *dev, u64 offset)
{
	return offset >= VVIRTIO_DEVICE && offset - VVIRTIO_DEVICE < dev->ops->config_size;
}

static bool is_in_vector_table(u64 offset)
{
	return offset >= VVIRTIO_MSIX_TABLE &&
	       offset - VVIRTIO_MSIX_TABLE < MSIX_ENTRY_SIZE * VVIRTIO_VECTORS;
}

static u8 read_byte(struct vvirtio *dev, const struct virtio_common *c, u64 offset)
{
	if (offset < sizeof(*c))
		return ((const u8 *)c)[offset];
	if (is_in_device_config(dev, offset))
		return dev->ops->config_read(dev, (u32)(offset - VVIRTIO_DEVICE));
	if (is_in_vector_table(offset))
		return (u8)(vvirtioirq_table_read(dev, (u32)(offset - VVIRTIO_MSIX_TABLE) & ~3u) >>
			    8 * (offset & 3));
	if (offset == VVIRTIO_MSIX_PENDING)
		return vvirtioirq_pending_bits(dev);
	return 0;
}

static int read_regs(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct vvirtio *dev = ctx;
	struct virtio_common c;

	*value = 0;
	spin_lock(&dev->lock);
	read_common(dev, &c);
	for (unsigned int i = 0; i < size; i++)
		*value |= (u64)read_byte(dev, &c, offset + i) << 8 * i;
	spin_unlock(&dev->lock);
	return 0;
}

static int write_regs(void *ctx, struct vcpu *v, u64 offset, unsigned int size, u64 value)
{
	struct vvirtio *dev = ctx;

	if (offset >= VVIRTIO_NOTIFY && offset < VVIRTIO_MSIX_TABLE)
		return vvirtioqueue_notify(dev, v,
					   (u32)(offset - VVIRTIO_NOTIFY) / VVIRTIO_NOTIFY_STRIDE);
	spin_lock(&dev->lock);
	if (offset < sizeof(struct virtio_common)) {
		write_common(dev, offset, value);
		/* Drivers may write both halves of a queue's address in one access. */
		if (size == 8)
			write_common(dev, offset + 4, value >> 32);
	} else if (is_in_vector_table(offset) && size >= 4 && !(offset & 3)) {
		vvirtioirq_table_write(dev, (u32)(offset - VVIRTIO_MSIX_TABLE), (u32)value);
		if (size == 8 && is_in_vector_table(offset + 4))
			vvirtioirq_table_write(dev, (u32)(offset - VVIRTIO_MSIX_TABLE) + 4,
					       (u32)(value >> 32));
	}
	for (unsigned int i = 0; i < size; i++)
		if (is_in_device_config(dev, offset + i))
			dev->ops->config_write(dev, (u32)(offset + i - VVIRTIO_DEVICE),
					       (u8)(value >> 8 * i));
	spin_unlock(&dev->lock);
	return 0;
}

void vvirtioregs_map(struct vvirtio *dev)
{
	bool wanted = dev->command & PCI_COMMAND_MEMORY && dev->bar >= VPCI_WINDOW_START &&
		      dev->bar <= VPCI_WINDOW_END - VVIRTIO_BAR_SIZE;
	const struct bus_range r = { dev->bar, dev->bar + VVIRTIO_BAR_SIZE - 1, dev, read_regs,
				     write_regs };

	assert_locked(&dev->lock);
	if (dev->mapped && (!wanted || dev->mapped_at != dev->bar)) {
		bus_remove(&dev->domain->vm.mmio, dev->mapped_at);
		dev->mapped = false;
	}
	if (!dev->mapped && wanted) {
		dev->mapped_at = dev->bar;
		dev->mapped = !bus_add(&dev->domain->vm.mmio, &r);
	}
}
