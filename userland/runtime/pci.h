/* PCI as a guest driver needs it: configuration mechanism #1 (ports 0xCF8, 0xCFC), BARs, MSI-X or MSI. */
#pragma once

#include <kernel/compiler.h>

struct pci_device {
	u8 bus, device, function;
	u16 vendor_id, device_id;
	u32 class_code; /* base class, sub-class, programming interface: 24 bits */
	volatile u32 *msix_table; /* NULL until pci_msix_enable() */
	u32 msix_vectors;
};

#define PCI_CLASS_ETHERNET 0x020000

u32 pci_read32(const struct pci_device *d, u8 offset);
u16 pci_read16(const struct pci_device *d, u8 offset);
u8 pci_read8(const struct pci_device *d, u8 offset);
void pci_write32(const struct pci_device *d, u8 offset, u32 value);
void pci_write16(const struct pci_device *d, u8 offset, u16 value);

/* Call `found` for every function on every bus that bridges lead to, until it returns true. */
bool pci_scan(bool (*found)(struct pci_device *d, void *arg), void *arg);
/* Map memory BAR `index` (0 to 5). NULL if it is not a memory BAR or has no address. */
volatile void *pci_map_bar(const struct pci_device *d, u32 index, u64 *size);
/* Memory decoding and bus mastering on, INTx off. */
void pci_enable(const struct pci_device *d);
/* Offset of the capability, 0 without it. */
u8 pci_find_capability(const struct pci_device *d, u8 id);

/* Turn on MSI-X, all vectors masked. -ENODEV without the capability, -EIO if its table can not be mapped. */
int __must_check pci_msix_enable(struct pci_device *d);
/* Point vector `index` of the MSI-X table at a vector from interrupt_alloc(), and unmask it. */
int __must_check pci_msix_route(const struct pci_device *d, u32 index, int vector);
/* The same by plain MSI, one message. -ENODEV without the capability. */
int __must_check pci_msi_enable(const struct pci_device *d, int vector);
