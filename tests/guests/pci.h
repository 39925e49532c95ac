/* Access to the configuration space of bus 0. */
#pragma once

#include <kernel/lib/pci_id.h>
#include <kernel/lib/pci_regs.h>
#include <kernel/x86/pci_ports.h>

static inline u32 config_read(u32 slot, u32 reg)
{
	return pci_ports_read32(PCI_BDF(0, slot, 0), (u8)reg);
}

static inline void config_write(u32 slot, u32 reg, u32 value)
{
	pci_ports_write32(PCI_BDF(0, slot, 0), (u8)reg, value);
}

/* The slot of the function with this vendor and device, 0 if there is none. */
static inline u32 config_find(u32 id)
{
	for (u32 slot = 1; slot < 32; slot++)
		if (config_read(slot, PCI_VENDOR_ID) == id)
			return slot;
	return 0;
}

#define COMMAND_ON ((u32)(PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER))

/* The address of a memory BAR. */
static inline volatile u8 *config_bar(u32 slot, u32 bar)
{
	return (volatile u8 *)(u64)(config_read(slot, PCI_BAR(bar)) & ~PCI_BAR_MEMORY_FLAGS);
}

/* The offset of the capability with this id, 0 if there is none; ~0: the list does not end. */
static inline u32 config_capability(u32 slot, u32 id)
{
	u32 at = config_read(slot, PCI_CAPABILITIES) & 0xff, n = 0;

	for (; at && (config_read(slot, at) & 0xff) != id; at = config_read(slot, at) >> 8 & 0xff)
		if (++n > PCI_MAX_CAPABILITIES)
			return ~0u;
	return at;
}
