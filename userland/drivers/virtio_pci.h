/* A virtio device on the PCI bus (virtio 1.2, 4.1), from reset to running. Independent of the kind
 * of device. */
#pragma once

#include <userland/drivers/virtio_regs.h>
#include <userland/drivers/virtqueue.h>
#include <userland/runtime/pci.h>

struct virtio_pci {
	struct pci_device pci;
	volatile struct virtio_common *common;
	volatile void *config; /* device-specific */
	volatile u8 *notify;
	u32 notify_multiplier;
	u64 features; /* negotiated */
};

/* Find the registers, with at least config_bytes of device-specific ones, enable memory decoding
 * and DMA, and reset the device. NULL, or what is wrong. */
const char *virtio_pci_open(struct virtio_pci *v, const struct pci_device *pci, u32 config_bytes);
/* Negotiate all features in `needed`, and those in `wanted` that are offered (3.1.1). False: a
 * needed one is not offered, or the device rejects the selection. */
bool __must_check virtio_pci_negotiate(struct virtio_pci *v, u64 needed, u64 wanted);
/* Set up queue `index`, empty, with as many descriptors as the device and VIRTQUEUE_MAX allow, and
 * this MSI-X vector. Returns the queue's notify register; NULL if there is no usable queue. */
volatile void *virtio_pci_queue(struct virtio_pci *v, u16 index, struct virtqueue *q,
				struct virtqueue_memory *memory, u16 vector);
/* Setup is complete: start the device. */
void virtio_pci_run(struct virtio_pci *v);
