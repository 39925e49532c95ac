/* virtio-net over PCI, as version 1 of the standard has it ("Virtual I/O Device (VIRTIO)
 * Version 1.2"; sections are its). */
#pragma once

#include <userland/drivers/netdev.h>
#include <userland/runtime/pci.h>

#define VIRTIO_NET 0x1041

/* Reset the device and prepare its queues. NULL if it does not work: the reason is printed. Only a
 * device that puts all it does through the IOMMU (VIRTIO_F_ACCESS_PLATFORM) and that has MSI-X is
 * taken. */
struct netdev *virtio_net_probe(const struct pci_device *pci);
