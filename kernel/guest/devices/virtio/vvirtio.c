/* See kernel/guest/devices/virtio/vvirtio.h. BAR 0 is one page:
 *
 *	000 common configuration, 100 ISR, 200 the device's configuration, 300 notifications, 400 MSI-X table, 800 pending bits
 */
#include <kernel/guest/devices/virtio/vvirtio.h>

#include <drivers/pci.h>
#include <kernel/abi/virtio_regs.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/lib/string.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/devices/pci/vpcifn.h>

#define BAR_SIZE PAGE_SIZE
#define AT_ISR 0x100u
#define AT_DEVICE 0x200u
#define AT_NOTIFY 0x300u
#define AT_MSIX 0x400u
#define AT_PENDING 0x800u
#define NOTIFY_MULTIPLIER 4u

/* --- interrupts ------------------------------------------------------------------------------------------------------------------ */

static void send(struct vvirtio *dev, u32 vector)
{
	if (dev->msix_masked || dev->vector[vector].masked) {
		dev->vector[vector].pending = true;
		return;
	}
	dev->vector[vector].pending = false;
	(void)vmsi_message(dev->domain, dev->vector[vector].address, dev->vector[vector].data);
}

/* Without MSI-X there is no interrupt: legacy ones do not exist here. */
static void interrupt(struct vvirtio *dev, u16 vector)
{
	if (dev->msix_enabled && vector < VVIRTIO_VECTORS)
		send(dev, vector);
}

/* Something was unmasked. */
static void send_pending(struct vvirtio *dev)
{
	for (u32 i = 0; dev->msix_enabled && i < VVIRTIO_VECTORS; i++)
		if (dev->vector[i].pending)
			send(dev, i);
}

static u32 msix_read(struct vvirtio *dev, u32 offset)
{
	switch (offset % 16) {
	case 0:
		return (u32)dev->vector[offset / 16].address;
	case 4:
		return (u32)(dev->vector[offset / 16].address >> 32);
	case 8:
		return dev->vector[offset / 16].data;
	default:
		return dev->vector[offset / 16].masked;
	}
}

static void msix_write(struct vvirtio *dev, u32 offset, u32 value)
{
	u64 *address = &dev->vector[offset / 16].address;

	switch (offset % 16) {
	case 0:
		*address = (*address & ~0xffffffffUL) | (value & ~3u);
		break;
	case 4:
		*address = (*address & 0xffffffff) | (u64)value << 32;
		break;
	case 8:
		dev->vector[offset / 16].data = value;
		break;
	default:
		dev->vector[offset / 16].masked = value & 1;
		send_pending(dev);
	}
}

void vvirtio_config_changed(struct vvirtio *dev)
{
	dev->generation++;
	if (dev->status & STATUS_DRIVER_OK)
		interrupt(dev, dev->config_vector);
}

bool vvirtio_is_driven(const struct vvirtio *dev)
{
	return (dev->status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) == STATUS_DRIVER_OK;
}

static void needs_reset(struct vvirtio *dev)
{
	dev->status |= STATUS_NEEDS_RESET;
	vvirtio_config_changed(dev);
}

/* --- queues ------------------------------------------------------------------------------------------------------------------------ */

struct descriptor {
	u64 address;
	u32 length;
	u16 flags, next;
};
#define DESC_NEXT 1u
#define DESC_WRITE 2u /* for the device to write into: there is nothing in it */
#define AVAIL_NO_INTERRUPT 1u

/* Begin with the next chain: 1; 0: there is none; -EFAULT, -EINVAL. */
static int next_chain(struct vvirtio *dev, struct vvirtio_queue *q)
{
	u16 available;
	int ret = guest_read(&dev->domain->vm.memory, q->driver + 2, &available, sizeof(available));

	if (ret || available == q->taken)
		return ret;
	if ((u16)(available - q->taken) > q->size)
		return -EINVAL;
	ret = guest_read(&dev->domain->vm.memory, q->driver + 4 + 2 * (q->taken % q->size),
			 &q->head, sizeof(q->head));
	if (ret)
		return ret;
	q->at = q->head;
	q->left = q->size;
	q->offset = 0;
	q->taken++;
	q->busy = true;
	return 1;
}

/* The chain is dealt with: it goes back to the driver. */
static int finish_chain(struct vvirtio *dev, struct vvirtio_queue *q)
{
	const struct {
		u32 id, length;
	} element = { q->head, 0 };
	u16 flags;
	int ret = guest_write(&dev->domain->vm.memory, q->device + 4 + 8 * (q->used % q->size),
			      &element, sizeof(element));

	/* Flags and index are one dword; the index must not be seen half written. */
	if (!ret)
		ret = guest_cmpxchg(&dev->domain->vm.memory, q->device, 4, (u32)q->used << 16,
				    (u32)(u16)(q->used + 1) << 16);
	q->used++;
	q->busy = false;
	if (!ret)
		ret = guest_read(&dev->domain->vm.memory, q->driver, &flags, sizeof(flags));
	if (!ret && !(flags & AVAIL_NO_INTERRUPT))
		interrupt(dev, q->vector);
	return ret;
}

/* A bounded part of what is in the queue. 1: there may be more; 0: nothing is left; -EAGAIN: wait; -ENOMEM: try again; else the
 * driver is wrong. */
static int queue_step(struct vvirtio *dev, u32 number)
{
	struct vvirtio_queue *q = &dev->queue[number];
	struct descriptor d;
	s64 done;
	int ret;

	if (!q->enabled || !vvirtio_is_driven(dev))
		return 0;
	if (!q->busy)
		return next_chain(dev, q);
	if (q->at >= q->size || !q->left)
		return -EINVAL;
	ret = guest_read(&dev->domain->vm.memory, q->desc + sizeof(d) * q->at, &d, sizeof(d));
	if (ret)
		return ret;
	if (!(d.flags & DESC_WRITE) && q->offset < d.length) {
		done = dev->ops->take(dev, number, d.address + q->offset, d.length - q->offset);
		if (done < 0)
			return (int)done;
		q->offset += (u64)done;
		return 1;
	}
	q->offset = 0;
	q->left--;
	q->at = d.next;
	if (d.flags & DESC_NEXT)
		return 1;
	ret = finish_chain(dev, q);
	return ret ? ret : 1;
}

/* The driver's write of a notification is executed again and again until all is done: between the steps its vCPU takes
 * interrupts, and may be stopped. */
static int notify(struct vvirtio *dev, struct vcpu *v, u32 queue)
{
	int ret;

	vcpu_prepare_park(v);
	spin_lock(&dev->lock);
	ret = queue < VVIRTIO_QUEUES ? queue_step(dev, queue) : 0;
	if (ret < 0 && ret != -EAGAIN && ret != -ENOMEM)
		needs_reset(dev);
	spin_unlock(&dev->lock);
	if (ret == -EAGAIN)
		vcpu_park(v);
	return ret == -EAGAIN || ret == -ENOMEM || ret == 1 ? -EAGAIN : 0;
}

/* --- registers ------------------------------------------------------------------------------------------------------------------- */

static void reset(struct vvirtio *dev)
{
	dev->device_feature_select = dev->driver_feature_select = 0;
	dev->driver_features = 0;
	dev->config_vector = NO_VECTOR;
	dev->queue_select = 0;
	dev->status = 0;
	for (u32 i = 0; i < VVIRTIO_QUEUES; i++)
		dev->queue[i] = (struct vvirtio_queue){ .size = VVIRTIO_QUEUE_SIZE,
							.vector = NO_VECTOR };
	for (u32 i = 0; i < VVIRTIO_VECTORS; i++)
		dev->vector[i].pending = false;
	dev->ops->reset(dev);
}

static u64 offered(const struct vvirtio *dev)
{
	return dev->ops->features | VIRTIO_F_VERSION_1;
}

static struct vvirtio_queue *selected(struct vvirtio *dev)
{
	return dev->queue_select < VVIRTIO_QUEUES ? &dev->queue[dev->queue_select] : NULL;
}

static void common(struct vvirtio *dev, struct virtio_common *c)
{
	const struct vvirtio_queue *q = selected(dev);

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
		c->device_feature = (u32)(offered(dev) >> 32 * dev->device_feature_select);
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

static void set_status(struct vvirtio *dev, u8 status)
{
	if (!status) {
		reset(dev);
		return;
	}
	/* Refused: the driver reads it back (3.1.1). */
	if ((dev->driver_features & ~offered(dev)) || !(dev->driver_features & VIRTIO_F_VERSION_1))
		status &= (u8)~STATUS_FEATURES_OK;
	if (!((dev->status | status) & STATUS_FEATURES_OK))
		status &= (u8)~STATUS_DRIVER_OK;
	dev->status |= status;
}

static u16 usable_vector(u64 value)
{
	return value < VVIRTIO_VECTORS ? (u16)value : (u16)NO_VECTOR;
}

static void set_half(u64 *address, u32 upper, u64 value)
{
	u32 shift = 32 * upper;

	*address = (*address & ~(0xffffffffUL << shift)) | (value & 0xffffffff) << shift;
}

static bool can_be_enabled(const struct vvirtio_queue *q)
{
	return !(q->desc & 15) && !(q->driver & 1) && !(q->device & 3);
}

/* A queue is set up before it is enabled (4.1.4.3.2). */
static void queue_write(struct vvirtio_queue *q, u64 offset, u64 value)
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
		q->enabled = value == 1 && can_be_enabled(q);
		break;
	case offsetof(struct virtio_common, queue_desc[0]):
	case offsetof(struct virtio_common, queue_desc[1]):
		set_half(&q->desc, offset & 4 ? 1 : 0, value);
		break;
	case offsetof(struct virtio_common, queue_driver[0]):
	case offsetof(struct virtio_common, queue_driver[1]):
		set_half(&q->driver, offset & 4 ? 1 : 0, value);
		break;
	case offsetof(struct virtio_common, queue_device[0]):
	case offsetof(struct virtio_common, queue_device[1]):
		set_half(&q->device, offset & 4 ? 1 : 0, value);
		break;
	default:
		break;
	}
}

static void common_write(struct vvirtio *dev, u64 offset, u64 value)
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
			set_half(&dev->driver_features, dev->driver_feature_select, value);
		break;
	case offsetof(struct virtio_common, config_msix_vector):
		dev->config_vector = usable_vector(value);
		break;
	case offsetof(struct virtio_common, device_status):
		set_status(dev, (u8)value);
		break;
	case offsetof(struct virtio_common, queue_select):
		dev->queue_select = (u16)value;
		break;
	default:
		queue_write(selected(dev), offset, value);
	}
}

static bool in_device(const struct vvirtio *dev, u64 offset)
{
	return offset >= AT_DEVICE && offset - AT_DEVICE < dev->ops->config_size;
}

static bool in_msix(u64 offset)
{
	return offset >= AT_MSIX && offset - AT_MSIX < 16 * VVIRTIO_VECTORS;
}

static u8 byte_at(struct vvirtio *dev, const struct virtio_common *c, u64 offset)
{
	if (offset < sizeof(*c))
		return ((const u8 *)c)[offset];
	if (in_device(dev, offset))
		return dev->ops->config_read(dev, (u32)(offset - AT_DEVICE));
	if (in_msix(offset))
		return (u8)(msix_read(dev, (u32)(offset - AT_MSIX) & ~3u) >> 8 * (offset & 3));
	if (offset == AT_PENDING)
		return (u8)(dev->vector[0].pending | dev->vector[1].pending << 1 |
			    dev->vector[2].pending << 2);
	return 0;
}

static int bar_read(void *ctx, struct vcpu *v __unused, u64 offset, unsigned int size, u64 *value)
{
	struct vvirtio *dev = ctx;
	struct virtio_common c;

	*value = 0;
	spin_lock(&dev->lock);
	common(dev, &c);
	for (unsigned int i = 0; i < size; i++)
		*value |= (u64)byte_at(dev, &c, offset + i) << 8 * i;
	spin_unlock(&dev->lock);
	return 0;
}

static int bar_write(void *ctx, struct vcpu *v, u64 offset, unsigned int size, u64 value)
{
	struct vvirtio *dev = ctx;

	if (offset >= AT_NOTIFY && offset < AT_MSIX)
		return notify(dev, v, (u32)(offset - AT_NOTIFY) / NOTIFY_MULTIPLIER);
	spin_lock(&dev->lock);
	if (offset < sizeof(struct virtio_common)) {
		common_write(dev, offset, value);
		/* Drivers may write a queue's address at once. */
		if (size == 8)
			common_write(dev, offset + 4, value >> 32);
	} else if (in_msix(offset) && size >= 4 && !(offset & 3)) {
		msix_write(dev, (u32)(offset - AT_MSIX), (u32)value);
		if (size == 8 && in_msix(offset + 4))
			msix_write(dev, (u32)(offset - AT_MSIX) + 4, (u32)(value >> 32));
	}
	for (unsigned int i = 0; i < size; i++)
		if (in_device(dev, offset + i))
			dev->ops->config_write(dev, (u32)(offset + i - AT_DEVICE),
					       (u8)(value >> 8 * i));
	spin_unlock(&dev->lock);
	return 0;
}

/* --- config space -------------------------------------------------------------------------------------------------------------------- */

#define CAP_FIRST 0x40u

/* Each capability has a place of 32 bytes, in the order of the list. */
#define CAP_BYTES 32u
#define VENDOR_CAP(type, offset, length)                                                           \
	{ PCI_CAP_VENDOR | 20u << 16 | (u32)(type) << 24, 0, offset, length, NOTIFY_MULTIPLIER }
#define MSIX_CAP 4u

static u32 capability_read(const struct vvirtio *dev, u32 cap, u32 dword)
{
	const u32 vendor[MSIX_CAP][5] = {
		VENDOR_CAP(VIRTIO_CAP_COMMON, 0, sizeof(struct virtio_common)),
		VENDOR_CAP(VIRTIO_CAP_ISR, AT_ISR, 1),
		VENDOR_CAP(VIRTIO_CAP_DEVICE, AT_DEVICE, dev->ops->config_size),
		VENDOR_CAP(VIRTIO_CAP_NOTIFY, AT_NOTIFY, VVIRTIO_QUEUES * NOTIFY_MULTIPLIER),
	};
	const u32 msix[] = { PCI_CAP_MSIX | (VVIRTIO_VECTORS - 1) << 16 |
				     (dev->msix_masked ? BIT(30) : 0) |
				     (dev->msix_enabled ? BIT(31) : 0),
			     AT_MSIX, AT_PENDING };
	u32 value = 0;

	if (cap < MSIX_CAP && dword < 5)
		value = vendor[cap][dword];
	else if (cap == MSIX_CAP && dword < 3)
		value = msix[dword];
	return !dword && cap < MSIX_CAP ? value | (CAP_FIRST + CAP_BYTES * (cap + 1)) << 8 : value;
}

u32 vvirtio_config_read(struct vvirtio *dev, u8 offset)
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
			value = capability_read(dev, (offset - CAP_FIRST) / CAP_BYTES,
						(offset - CAP_FIRST) % CAP_BYTES / 4);
	}
	spin_unlock(&dev->lock);
	return value;
}

/* Decode where the BAR says, if it may be there: nothing else of the domain's is moved away for it. */
static void decode(struct vvirtio *dev)
{
	bool wanted = dev->command & PCI_COMMAND_MEMORY && dev->bar >= GUEST_PCI_WINDOW_START &&
		      dev->bar <= GUEST_PCI_WINDOW_END - BAR_SIZE;
	const struct bus_range r = { dev->bar, dev->bar + BAR_SIZE - 1, dev, bar_read, bar_write };

	if (dev->mapped && (!wanted || dev->mapped_at != dev->bar)) {
		bus_remove(&dev->domain->vm.mmio, dev->mapped_at);
		dev->mapped = false;
	}
	if (!dev->mapped && wanted) {
		dev->mapped_at = dev->bar;
		dev->mapped = !bus_add(&dev->domain->vm.mmio, &r);
	}
}

void vvirtio_config_write(struct vvirtio *dev, u8 offset, u32 value, u32 mask)
{
	spin_lock(&dev->lock);
	if (offset == PCI_COMMAND) {
		dev->command = (u16)((dev->command & ~mask) | (value & mask)) &
			       (u16)(PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER |
				     PCI_COMMAND_INTX_DISABLE);
		decode(dev);
	} else if (offset == PCI_BAR0) {
		dev->bar = ((dev->bar & ~mask) | (value & mask)) & ~(u32)(BAR_SIZE - 1);
		decode(dev);
	} else if (offset == 0x3c) {
		dev->interrupt_line = (u8)((dev->interrupt_line & ~mask) | (value & mask));
	} else if (offset == CAP_FIRST + CAP_BYTES * MSIX_CAP) {
		if (mask & BIT(31))
			dev->msix_enabled = value & BIT(31);
		if (mask & BIT(30))
			dev->msix_masked = value & BIT(30);
		send_pending(dev);
	}
	spin_unlock(&dev->lock);
}

/* --- life -------------------------------------------------------------------------------------------------------------------------- */

void vvirtio_power_on(struct vvirtio *dev)
{
	spin_lock(&dev->lock);
	dev->command = 0;
	dev->bar = (u32)(GUEST_PCI_WINDOW_END - BAR_SIZE);
	decode(dev);
	dev->interrupt_line = 0;
	dev->msix_enabled = dev->msix_masked = false;
	for (u32 i = 0; i < VVIRTIO_VECTORS; i++) {
		dev->vector[i].address = 0;
		dev->vector[i].data = 0;
		dev->vector[i].masked = true;
	}
	reset(dev);
	spin_unlock(&dev->lock);
}

void vvirtio_init(struct vvirtio *dev, struct domain *d, const struct vvirtio_ops *ops)
{
	spin_init(&dev->lock, LOCK_VVIRTIO);
	dev->domain = d;
	dev->ops = ops;
	vvirtio_power_on(dev);
}
