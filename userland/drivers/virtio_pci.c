/* virtio over PCI: registers, features, queues (VIRTIO 1.2, 4.1). */
#include <userland/drivers/virtio_pci.h>

#include <kernel/lib/compiler.h>

#define RESET_TRIES 1000
#define RESET_STEP_US 100

/* Find the registers of this kind, at the first capability that describes them (4.1.4.1), which is
 * returned in *cap. NULL: there are none, or they are too short. */
static volatile u8 *find_registers(const struct pci_device *pci, u32 kind, u32 bytes, u8 *cap)
{
	u8 at = pci_find_capability(pci, PCI_CAP_VENDOR);

	for (u32 n = 0; at && n < PCI_MAX_CAPABILITIES; n++) {
		u8 bar = (u8)pci_read32(pci, (u8)(at + VIRTIO_CAP_BAR));

		*cap = at;
		if (pci_read32(pci, at) >> (8 * VIRTIO_CAP_TYPE) == kind && bar <= 5) {
			u64 base = pci_bar(pci, bar);

			if (!base || pci_read32(pci, (u8)(at + VIRTIO_CAP_LENGTH)) < bytes)
				return NULL;
			return (volatile u8 *)base + pci_read32(pci, (u8)(at + VIRTIO_CAP_OFFSET));
		}
		at = pci_next_capability(pci, at, PCI_CAP_VENDOR);
	}
	return NULL;
}

static bool reset(struct virtio_pci *v)
{
	v->common->device_status = 0;
	for (u32 i = 0; i < RESET_TRIES; i++) {
		if (!v->common->device_status)
			return true;
		delay_us(RESET_STEP_US);
	}
	return false;
}

const char *virtio_pci_open(struct virtio_pci *v, const struct pci_device *pci, u32 config_bytes)
{
	u8 cap;

	v->pci = *pci;
	v->common = (volatile void *)find_registers(pci, VIRTIO_CAP_COMMON, sizeof(*v->common),
						    &cap);
	v->config = find_registers(pci, VIRTIO_CAP_DEVICE, config_bytes, &cap);
	v->notify = find_registers(pci, VIRTIO_CAP_NOTIFY, sizeof(u16), &cap);
	if (!v->common || !v->config || !v->notify)
		return "lacks registers of virtio 1";
	v->notify_multiplier = pci_read32(pci, (u8)(cap + VIRTIO_CAP_NOTIFY_MULTIPLIER));
	pci_write16(pci, PCI_COMMAND,
		    PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER | PCI_COMMAND_INTX_DISABLE);
	return reset(v) ? NULL : "its reset does not complete";
}

bool virtio_pci_negotiate(struct virtio_pci *v, u64 needed, u64 wanted)
{
	volatile struct virtio_common *c = v->common;
	u64 offered = 0;

	c->device_status = STATUS_ACKNOWLEDGE;
	c->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
	for (u32 i = 0; i < 2; i++) {
		c->device_feature_select = i;
		offered |= (u64)c->device_feature << (32 * i);
	}
	if ((offered & needed) != needed)
		return false;
	v->features = offered & (needed | wanted);
	for (u32 i = 0; i < 2; i++) {
		c->driver_feature_select = i;
		c->driver_feature = (u32)(v->features >> (32 * i));
	}
	c->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
	return c->device_status & STATUS_FEATURES_OK;
}

/* Write the low and the high half separately (4.1.3.1). */
static void set_address(volatile u32 half[2], const void *p)
{
	half[0] = (u32)(u64)p;
	half[1] = (u32)((u64)p >> 32);
}

volatile void *virtio_pci_queue(struct virtio_pci *v, u16 index, struct virtqueue *q,
				struct virtqueue_memory *memory, u16 vector)
{
	volatile struct virtio_common *c = v->common;
	u16 size;

	c->queue_select = index;
	size = c->queue_size;
	if (!size || (size & (size - 1)))
		return NULL;
	size = MIN(size, (u16)VIRTQUEUE_MAX);
	c->queue_size = size;
	c->queue_msix_vector = vector;
	if (c->queue_msix_vector != vector)
		return NULL;
	virtqueue_init(q, memory, size);
	set_address(c->queue_desc, memory->desc);
	set_address(c->queue_driver, &memory->avail);
	set_address(c->queue_device, &memory->used);
	c->queue_enable = 1;
	return v->notify + (size_t)c->queue_notify_off * v->notify_multiplier;
}

void virtio_pci_run(struct virtio_pci *v)
{
	v->common->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK |
				   STATUS_DRIVER_OK;
}
