/* The registers of MSI-X as a guest sees them (PCI Local Bus 3.0, 6.8.2), for assigned functions
 * (vmsix.c) and emulated devices (../virtio/vvirtioirq.c). They only store what the guest wrote;
 * the caller acts on it. */
#pragma once

#include <kernel/lib/pci_regs.h>

/* Message control is the upper half of the capability's first dword. */
#define MSIX_CONTROL_MASKED (PCI_MSIX_MASK << 16)
#define MSIX_CONTROL_ENABLE (PCI_MSIX_ENABLE << 16)
#define MSIX_CONTROL_SIZE (PCI_MSIX_SIZE << 16)
#define MSIX_ENTRY_SIZE ((u32)sizeof(struct pci_msix_entry))

/* The capability's message control. */
struct msix_control {
	bool enabled, masked;
};

/* An entry of the table. */
struct msix_entry {
	u64 address;
	u32 data;
	bool masked;
};

/* The first dword of the capability, without the link to the next one. */
u32 msix_control_read(const struct msix_control *c, u32 nr_entries);
/* mask: which bits are written. */
void msix_control_write(struct msix_control *c, u32 value, u32 mask);
/* Read or write a dword of an entry; offset is in bytes and below MSIX_ENTRY_SIZE. */
u32 msix_entry_read(const struct msix_entry *e, u32 offset);
void msix_entry_write(struct msix_entry *e, u32 offset, u32 value);
