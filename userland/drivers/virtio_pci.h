/* A virtio device on the PCI bus (virtio 1.2, 4.1): its registers, from reset to running. What kind
 * of device it is, is its driver's business. */
#pragma once

#include <userland/drivers/virtio_regs.h>
#include <userland/drivers/virtqueue.h>
#include <userland/runtime/pci.h>

struct virtio_pci {
	struct pci_device pci;
	volatile struct virtio_common *common;
	volatile void *config; /* the kind's own */
	volatile u8 *notify;
	u32 notify_multiplier;
	u64 features; /* as agreed */
};

/* Find the registers, config_bytes of the kind's own, switch on memory decoding and DMA, and reset
 * the device. NULL, or what is wrong. */
const char *virtio_pci_open(struct virtio_pci *v, const struct pci_device *pci, u32 config_bytes);
/* Agree on all the features in `needed` and on those in `wanted` that are offered (3.1.1). False: a
 * needed one is not, or the device will not have it so. */
bool __must_check virtio_pci_negotiate(struct virtio_pci *v, u64 needed, u64 wanted);
/* Make queue `index` empty, with as many descriptors as the device and VIRTQUEUE_MAX allow, and
 * tell the device; its interrupts go to this MSI-X vector. Returns the register to notify it by,
 * NULL if there is no usable queue. */
volatile void *virtio_pci_queue(struct virtio_pci *v, u16 index, struct virtqueue *q,
				struct virtqueue_memory *memory, u16 vector);
/* All is set up: the device may begin. */
void virtio_pci_run(struct virtio_pci *v);
