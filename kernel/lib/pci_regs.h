/* PCI registers by name: the configuration header and the capabilities; for Weir, its guests and
 * the tests. Offsets are in bytes, those of a capability's registers from its start. Section
 * numbers are of PCI Express Base 5.0. */
#pragma once

#include <kernel/lib/compiler.h>

/* --- header, 7.5.1.1 and 7.5.1.2 ------------------------------------------ */

#define PCI_VENDOR_ID 0x00 /* all ones: there is no function */
#define PCI_VENDOR_NOT_READY 0x0001 /* it answers later (2.3.1, CRS software visibility) */
#define PCI_DEVICE_ID 0x02
#define PCI_COMMAND 0x04
#define PCI_COMMAND_IO BIT(0)
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_BUS_MASTER BIT(2)
#define PCI_COMMAND_INTX_DISABLE BIT(10)
#define PCI_STATUS 0x06
#define PCI_STATUS_CAPABILITIES BIT(4)
#define PCI_REVISION 0x08
#define PCI_CLASS 0x0a /* the base class in the upper byte */
#define PCI_CLASS_HOST_BRIDGE 0x0600
#define PCI_CLASS_ISA_BRIDGE 0x0601
#define PCI_CLASS_PCI_BRIDGE 0x0604
#define PCI_CLASS_OTHER_SYSTEM 0x0880
#define PCI_CLASS_PERFORMANCE 0x1101
#define PCI_CLASS_PCI_BRIDGE 0x0604
#define PCI_VENDOR_INTEL 0x8086
#define PCI_HEADER_TYPE 0x0e
#define PCI_HEADER_TYPE_MASK 0x7f
#define PCI_HEADER_TYPE_NORMAL 0
#define PCI_HEADER_TYPE_BRIDGE 1
#define PCI_HEADER_TYPE_CARDBUS 2
#define PCI_HEADER_MULTI_FUNCTION 0x80
#define PCI_BAR0 0x10
#define PCI_BARS 6
#define PCI_BAR(n) (PCI_BAR0 + 4 * (n))
#define PCI_BAR_IO 0x1u
#define PCI_BAR_IO_FLAGS 0x3u
#define PCI_BAR_TYPE 0x6u
#define PCI_BAR_TYPE_64 0x4u
#define PCI_BAR_PREFETCHABLE 0x8u
#define PCI_BAR_MEMORY_FLAGS 0xfu
#define PCI_SUBSYSTEM 0x2c
#define PCI_ROM 0x30
#define PCI_CAPABILITIES 0x34
#define PCI_INTERRUPT 0x3c /* line, pin */
#define PCI_HEADER_END 0x40 /* capabilities lie from here on */

/* --- header of a bridge, 7.5.1.3 ------------------------------------------ */

#define PCI_SECONDARY_BUS 0x19
#define PCI_SUBORDINATE_BUS 0x1a
/* Base and limit of a window: address bits 31:20 in bits 15:4 of either half. */
#define PCI_MEMORY_WINDOW 0x20
#define PCI_PREFETCHABLE_WINDOW 0x24
#define PCI_WINDOW_BASE 0x0000fff0u
#define PCI_WINDOW_LIMIT 0xfff00000u
#define PCI_WINDOW_TYPE 0xfu
#define PCI_WINDOW_TYPE_64 1
#define PCI_PREFETCHABLE_BASE_UPPER 0x28
#define PCI_PREFETCHABLE_LIMIT_UPPER 0x2c
#define PCI_BRIDGE_CONTROL 0x3e
#define PCI_BRIDGE_CONTROL_RESET BIT(6)

/* --- capabilities --------------------------------------------------------- */

/* Of a list's entry: its id, then where the next one is (7.5.1.1.11, 7.6.3). */
#define PCI_CAP_ID MASK(7, 0)
#define PCI_CAP_NEXT MASK(15, 8)
#define PCI_CAP_POINTER 0xfc /* the lower two bits are reserved */
#define PCI_EXT_CAP_START 0x100
#define PCI_EXT_CAP_ID MASK(15, 0)
#define PCI_EXT_CAP_NEXT MASK(31, 20)
#define PCI_EXT_CAP_POINTER 0xffc

/* No list is longer: PCI_HEADER_END to 256, 4 bytes each. A longer one is a loop. */
#define PCI_MAX_CAPABILITIES 48

#define PCI_CAP_PM 0x01
#define PCI_CAP_MSI 0x05
#define PCI_CAP_VENDOR 0x09
#define PCI_CAP_PCIE 0x10
#define PCI_CAP_MSIX 0x11
#define PCI_CAP_AF 0x13
#define PCI_EXT_CAP_ACS 0x000d
#define PCI_EXT_CAP_ARI 0x000e
#define PCI_EXT_CAP_ATS 0x000f
#define PCI_EXT_CAP_SRIOV 0x0010

/* Power management, 7.5.2. */
#define PCI_PM_CTRL 4
#define PCI_PM_CTRL_STATE 0x3
#define PCI_PM_CTRL_STATE_D0 0
#define PCI_PM_CTRL_STATE_D3HOT 3
#define PCI_PM_CTRL_NO_SOFT_RESET BIT(3)

/* MSI, 7.7.1. */
#define PCI_MSI_CONTROL 2
#define PCI_MSI_ENABLE BIT(0)
#define PCI_MSI_COUNT MASK(6, 4) /* log2 of the vectors in use */
#define PCI_MSI_64 BIT(7) /* the address has 64 bits */
#define PCI_MSI_MASKS BIT(8) /* there are mask bits */
#define PCI_MSI_ADDRESS 4
#define PCI_MSI_ADDRESS_HIGH 8
#define PCI_MSI_DATA_32 8
#define PCI_MSI_DATA_64 12

/* MSI-X, 7.7.2. */
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
_Static_assert(sizeof(struct pci_msix_entry) == 16, "PCI Express Base 5.0, 7.7.2");
#define PCI_MSIX_ENTRY_MASKED 1u

/* PCI Express, 7.5.3. */
#define PCI_EXP_FLAGS 0x02
#define PCI_EXP_FLAGS_TYPE MASK(7, 4)
#define PCI_EXP_DEVCAP 0x04
#define PCI_EXP_DEVCAP_FLR BIT(28)
#define PCI_EXP_DEVCTL 0x08
#define PCI_EXP_DEVCTL_FLR BIT(15)
#define PCI_EXP_DEVSTA 0x0a
#define PCI_EXP_DEVSTA_PENDING BIT(5)
#define PCI_EXP_DEVCAP2 0x24
#define PCI_EXP_DEVCAP2_ARI BIT(5)
#define PCI_EXP_DEVCTL2 0x28
#define PCI_EXP_DEVCTL2_ARI BIT(5)

/* Advanced features of conventional PCI (Advanced Capabilities ECN to PCI 3.0, 6.22). */
#define PCI_AF_CAP 3
#define PCI_AF_CAP_FLR BIT(1)
#define PCI_AF_CTRL 4
#define PCI_AF_CTRL_FLR BIT(0)
#define PCI_AF_STATUS 5
#define PCI_AF_STATUS_PENDING BIT(0)

/* Access control services, 7.7.11. The bits are those of both registers. */
#define PCI_ACS_CAP 4
#define PCI_ACS_CTRL 6
#define PCI_ACS_SOURCE_VALIDATION BIT(0)
#define PCI_ACS_REQUEST_REDIRECT BIT(2)
#define PCI_ACS_COMPLETION_REDIRECT BIT(3)
#define PCI_ACS_UPSTREAM_FORWARDING BIT(4)
#define PCI_ACS_DIRECT_TRANSLATED BIT(6)

/* SR-IOV, 9.3.3. */
#define PCI_SRIOV_CTRL 0x08
#define PCI_SRIOV_CTRL_VF_ENABLE BIT(0)
#define PCI_SRIOV_CTRL_VF_MEMORY BIT(3)
#define PCI_SRIOV_CTRL_ARI BIT(4)
#define PCI_SRIOV_TOTAL_VFS 0x0e
#define PCI_SRIOV_NUM_VFS 0x10
#define PCI_SRIOV_FIRST_OFFSET 0x14
#define PCI_SRIOV_STRIDE 0x16
#define PCI_SRIOV_DEVICE_ID 0x1a
#define PCI_SRIOV_PAGE_SIZE 0x20
#define PCI_SRIOV_PAGE_SIZE_4K 1
#define PCI_SRIOV_BAR0 0x24

/* Address translation services, 10.5.1. */
#define PCI_ATS_CAP 4
#define PCI_ATS_CAP_DEPTH MASK(4, 0)
#define PCI_ATS_CTRL 6
#define PCI_ATS_CTRL_ENABLE BIT(15)
