/* PCI configuration by ports 0xcf8 and 0xcfc, and message interrupts. */
#pragma once

#include "runtime.h"

struct pci_device {
	u8 bus, device, function;
	u16 vendor, id;
	u32 class; /* base class, sub-class, interface */
};

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_MASTER BIT(2)
#define PCI_COMMAND_NO_INTX BIT(10)
#define PCI_CAP_MSI 0x05
#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_MSIX 0x11

u32 pci_read32(const struct pci_device *d, u8 reg);
void pci_write32(const struct pci_device *d, u8 reg, u32 value);
u16 pci_read16(const struct pci_device *d, u8 reg);
void pci_write16(const struct pci_device *d, u8 reg, u16 value);
/* Call fn for each function on bus 0 and on the buses that bridges lead to; ends early when it
 * returns true. True if it did. */
bool pci_for_each(bool (*fn)(const struct pci_device *d, void *ctx), void *ctx);
/* So many capabilities fill the space: who finds more is in a loop. */
#define PCI_MAX_CAPABILITIES 48
/* Offset of a capability, 0 if the function does not have it. */
u8 pci_find_capability(const struct pci_device *d, u8 id);
/* The next one of the same kind behind the one at `at`. */
u8 pci_next_capability(const struct pci_device *d, u8 at, u8 id);
/* Guest-physical address of a memory BAR, 0 if it is none or has no address. */
u64 pci_bar(const struct pci_device *d, unsigned int bar);

/* Vectors of MSI-X, 0 if there is none; *table is where its table is mapped. Enables nothing. */
u32 pci_msix_table(const struct pci_device *d, volatile u32 **table);
void pci_msix_set(volatile u32 *table, u32 entry, u8 vector);
void pci_msix_enable(const struct pci_device *d);
/* One MSI vector; false if there is no MSI. */
bool __must_check pci_msi_enable(const struct pci_device *d, u8 vector);
