/* virtio-net over PCI. Section numbers refer to "Virtual I/O Device (VIRTIO) Version 1.2". */
#pragma once

#include <userland/drivers/netdev.h>
#include <userland/runtime/pci.h>

#define VIRTIO_NET 0x1041

/* Reset the device and prepare its queues. NULL, with a message, if that fails. The device must
 * have MSI-X, and send all its accesses through the IOMMU (VIRTIO_F_ACCESS_PLATFORM). */
struct netdev *virtio_net_probe(const struct pci_device *pci);
