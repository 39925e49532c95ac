/* PCI configuration space through ports 0xcf8 and 0xcfc, and message-signalled interrupts. */
#pragma once

#include <kernel/lib/pci_regs.h>
#include "runtime.h"

struct pci_device {
	u8 bus, device, function;
	u16 vendor, id;
	u32 class; /* base class, sub-class, interface */
};

u32 pci_read32(const struct pci_device *d, u8 reg);
void pci_write32(const struct pci_device *d, u8 reg, u32 value);
u16 pci_read16(const struct pci_device *d, u8 reg);
void pci_write16(const struct pci_device *d, u8 reg, u16 value);
/* Call fn for each function on bus 0 and on the buses behind bridges, until it returns true. True
 * if it did. */
bool pci_for_each(bool (*fn)(const struct pci_device *d, void *ctx), void *ctx);
/* Offset of a capability, 0 if the function does not have it. */
u8 pci_find_capability(const struct pci_device *d, u8 id);
/* The next capability with this id after the one at `at`, or 0. */
u8 pci_next_capability(const struct pci_device *d, u8 at, u8 id);
/* Guest-physical address of a memory BAR; 0 if it is not a memory BAR or has no address. */
u64 pci_bar(const struct pci_device *d, unsigned int bar);

/* The number of MSI-X vectors, and their table in *table; 0 if the function has no MSI-X. Enables
 * nothing. */
u32 pci_msix_table(const struct pci_device *d, volatile struct pci_msix_entry **table);
void pci_msix_set(volatile struct pci_msix_entry *table, u32 entry, u8 vector);
void pci_msix_enable(const struct pci_device *d);
/* Enable MSI with one vector; false if the function has no MSI. */
bool __must_check pci_msi_enable(const struct pci_device *d, u8 vector);
