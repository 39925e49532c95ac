/* PCI configuration space: offsets in bytes, fields, capability ids. PCI Local Bus 3.0, chapter 6;
 * PCI Express Base 5.0, 7.5; for Weir, its guests and the tests. */
#pragma once

#include <kernel/lib/compiler.h>

#define PCI_VENDOR_ID 0x00 /* all ones: there is no function */
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_COMMAND_IO BIT(0)
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_BUS_MASTER BIT(2)
#define PCI_COMMAND_INTX_DISABLE BIT(10)
#define PCI_STATUS 0x06
#define PCI_STATUS_CAPABILITIES BIT(4)
#define PCI_REVISION 0x08
#define PCI_CLASS 0x0a /* base class in the upper byte */
#define PCI_CLASS_BRIDGE 0x06 /* a base class */
#define PCI_CLASS_PCI_BRIDGE 0x0604
#define PCI_HEADER_TYPE 0x0e
#define PCI_HEADER_BRIDGE 1
#define PCI_HEADER_MULTI_FUNCTION 0x80
#define PCI_BAR0 0x10
#define PCI_BAR(n) (PCI_BAR0 + 4 * (n))
#define PCI_BAR_IO 0x1u
#define PCI_BAR_TYPE 0x6u
#define PCI_BAR_TYPE_64 0x4u
#define PCI_BAR_PREFETCHABLE 0x8u
#define PCI_BAR_FLAGS 0xfu /* of a memory BAR: all that is not address */
#define PCI_SECONDARY_BUS 0x19
#define PCI_SUBORDINATE_BUS 0x1a
#define PCI_SUBSYSTEM 0x2c
#define PCI_ROM 0x30
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT 0x3c /* line, pin */

/* The list of capabilities fills at most so much: one that is longer is a loop. */
#define PCI_FIRST_CAPABILITY 0x40
#define PCI_MAX_CAPABILITIES 48

#define PCI_CAP_PM 0x01
#define PCI_CAP_MSI 0x05
#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_PCIE 0x10
#define PCI_CAP_MSIX 0x11
#define PCI_CAP_AF 0x13
#define PCI_EXT_CAP_ARI 0x000e
#define PCI_EXT_CAP_ATS 0x000f
#define PCI_EXT_CAP_SRIOV 0x0010

/* Power management: offsets from the capability. */
#define PCI_PM_CSR 4
#define PCI_PM_CSR_STATE 0x3u
#define PCI_PM_D3HOT 3

/* PCI Express. */
#define PCI_EXP_DEVCAP 4
#define PCI_EXP_DEVCAP_FLR BIT(28)
#define PCI_EXP_DEVCTL 8
#define PCI_EXP_DEVCTL_FLR BIT(15)

/* MSI, PCI Local Bus 3.0, 6.8.1. */
#define PCI_MSI_CONTROL 2
#define PCI_MSI_ENABLE BIT(0)
#define PCI_MSI_COUNT MASK(6, 4) /* log2 of the vectors in use */
#define PCI_MSI_64 BIT(7) /* the address has 64 bits */
#define PCI_MSI_MASKS BIT(8) /* there are mask bits */
#define PCI_MSI_ADDRESS 4
#define PCI_MSI_ADDRESS_HIGH 8
#define PCI_MSI_DATA_32 8
#define PCI_MSI_DATA_64 12

/* MSI-X, 6.8.2. */
#define PCI_MSIX_CONTROL 2
#define PCI_MSIX_SIZE MASK(10, 0) /* entries - 1 */
#define PCI_MSIX_MASK BIT(14) /* the whole function */
#define PCI_MSIX_ENABLE BIT(15)
#define PCI_MSIX_TABLE 4
#define PCI_MSIX_PBA 8
#define PCI_MSIX_BIR 0x7u /* of both: which BAR; the rest is the offset in it */
/* An entry of the table. */
struct pci_msix_entry {
	u32 address, address_high, data, control;
};
_Static_assert(sizeof(struct pci_msix_entry) == 16, "PCI Local Bus 3.0, 6.8.2.6");
#define PCI_MSIX_ENTRY_MASKED 1u
