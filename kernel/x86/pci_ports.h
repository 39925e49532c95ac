/* Configuration mechanism 1. It needs two port accesses; the caller holds a lock around both. PCI
 * Local Bus 3.0, 3.2.2.3.2. */
#pragma once

#include <kernel/x86/io.h>

#define PCI_CONFIG_ADDRESS 0xcf8
#define PCI_CONFIG_ENABLE BIT(31)
#define PCI_CONFIG_BUS MASK(23, 16)
#define PCI_CONFIG_DEVICE MASK(15, 11)
#define PCI_CONFIG_FUNCTION MASK(10, 8)
#define PCI_CONFIG_REGISTER MASK(7, 2)
#define PCI_CONFIG_DATA 0xcfc

/* Select the dword that contains offset (0 to 255). */
static inline void pci_ports_select(u16 bdf, u8 offset)
{
	outl(PCI_CONFIG_ADDRESS,
	     (u32)PCI_CONFIG_ENABLE | (u32)bdf << 8 | (offset & (u32)PCI_CONFIG_REGISTER));
}

/* Offsets are naturally aligned. An absent function reads as all ones. */
#define PCI_PORTS(bits, in, out)                                                                   \
	static inline u##bits pci_ports_read##bits(u16 bdf, u8 offset)                             \
	{                                                                                          \
		pci_ports_select(bdf, offset);                                                     \
		return in((u16)(PCI_CONFIG_DATA + offset % 4));                                    \
	}                                                                                          \
                                                                                                   \
	static inline void pci_ports_write##bits(u16 bdf, u8 offset, u##bits value)                \
	{                                                                                          \
		pci_ports_select(bdf, offset);                                                     \
		out((u16)(PCI_CONFIG_DATA + offset % 4), value);                                   \
	}

PCI_PORTS(8, inb, outb)
PCI_PORTS(16, inw, outw)
PCI_PORTS(32, inl, outl)
