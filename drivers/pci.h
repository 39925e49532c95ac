/* PCI functions of the machine: found, sized, read and written. PCI Local Bus 3.0, PCI Express Base
 * 5.0. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/pci_id.h>
#include <kernel/lib/pci_regs.h>

/* --- configuration space ------------------------------------------------------------------------------------------------ */

/* Offsets in bytes, naturally aligned; beyond 255 only where there is ECAM. Absent functions read
 * as all ones. Any context. */
u8 pci_config_read8(u16 segment, u16 bdf, u16 offset);
u16 pci_config_read16(u16 segment, u16 bdf, u16 offset);
u32 pci_config_read32(u16 segment, u16 bdf, u16 offset);
void pci_config_write8(u16 segment, u16 bdf, u16 offset, u8 value);
void pci_config_write16(u16 segment, u16 bdf, u16 offset, u16 value);
void pci_config_write32(u16 segment, u16 bdf, u16 offset, u32 value);
bool pci_exists(u16 segment, u16 bdf);

/* --- functions ----------------------------------------------------------------------------------------------------------- */

#define PCI_BARS 6
#define PCI_VENDOR_CAPS 8

struct pci_bar {
	paddr_t base;
	u64 size; /* bytes; 0: there is none (or it is the upper half of the one before) */
	bool io, is64, prefetchable;
};

enum pci_state { PCI_FREE, PCI_ATTACHING, PCI_ATTACHED, PCI_DETACHING };

struct vfunction;

struct pci_device {
	struct pci_id id;
	u16 vendor, device, class;
	u8 header; /* type, without the multi-function bit */
	u8 pm, msi, msix, pcie, af; /* capability offsets; 0: absent */
	u8 vendor_cap[PCI_VENDOR_CAPS]; /* vendor-specific ones, the first so many; 0: none */
	u16 ats, ari, sriov; /* extended capabilities */
	u16 device_control; /* of PCI Express, before its reset */
	bool link_is_reset; /* the first half of a hot reset */
	/* Behind a bridge to conventional PCI, whose requests carry no requester id: the bridge puts its own there, or its
	 * secondary bus's 00.0, for all of them. */
	bool shared_id;
	/* Of a virtual function: whose it is. Its BARs, its vendor and its device are said by that one's SR-IOV capability. */
	const struct pci_device *physical;
	u32 nr_virtual; /* how many it has */
	struct pci_bar bar[PCI_BARS];
	bool bars_ok; /* every memory BAR is set, and lies over nothing else that is known */
	/* kernel/guest/devices/pci/assign.c's */
	enum pci_state state;
	u16 owner; /* id of the domain that has it, gets it or had it last; 0: it is free */
	struct vfunction *function; /* what that domain sees of it */
	/* Weir's mappings of registers that guests may not touch: made once, they stay. */
	volatile void *window[PCI_BARS], *msix_table;
};

#define PCI_MAX_DEVICES 128

/* Find all functions behind the host bridges, and switch off the bus mastering of those that are no
 * bridges: whoever gets one switches it on. Boot. */
void pci_init(void);
struct rangeset;
/* Add the frames of all ECAM windows to s. -ENOSPC. */
int __must_check pci_add_ecam(struct rangeset *s);
bool pci_ecam_overlaps(paddr_t first, paddr_t last);
/* Switch on the first `nr` virtual functions of `pf`, so that they are in the list like all others (drivers/sriov.c). What goes wrong is
 * told in the log. Boot. */
void pci_enable_virtual(struct pci_id pf, u32 nr);
/* The function that a virtual one belongs to; any other is its own. */
struct pci_id pci_physical(struct pci_id id);
/* The function, or NULL. */
struct pci_device *pci_find(struct pci_id id);
/* What kind of device or port it is (PCI Express, 7.5.3.2); d has the capability. */
enum pci_express_type {
	PCI_EXPRESS_ROOT_PORT = 4,
	PCI_EXPRESS_DOWNSTREAM = 6,
	PCI_EXPRESS_TO_PCI = 7,
	PCI_EXPRESS_FROM_PCI = 8,
};
enum pci_express_type pci_express_type(const struct pci_device *d);
/* The bridge that leads to d's bus; NULL: it is a root bus. */
const struct pci_device *pci_bridge_above(const struct pci_device *d);
/* For drivers/sriov.c: add one that answers already. NULL: there is no room. Boot. */
struct pci_device *pci_add_virtual(const struct pci_device *pf, u16 bdf, u16 device,
				   const struct pci_bar bar[PCI_BARS]);
/* All functions, by number from 0; NULL behind the last. */
struct pci_device *pci_device_at(u32 index);
/* Switch DMA (and MSI with it) on or off. */
void pci_set_bus_master(const struct pci_device *d, bool on);
/* Switch DMA, MSI and the device's own TLB off. A function that Weir does not know is left alone. */
void pci_stop(struct pci_id id);
/* How many invalidations its TLB can queue, 1 to 32; 0: it has no ATS capability (PCIe 10.5.1). */
u32 pci_ats_depth(struct pci_id id);
/* Switch its TLB on, empty. The caller's context entry allows it already. */
void pci_ats_enable(struct pci_id id);

/* How the function can be reset, in words; NULL: it can not. */
const char *pci_reset_method(const struct pci_device *d);
/* Start a reset: false if there is no method. The function must not be touched for PCI_RESET_NS
 * after, then pci_reset_finish() restores what the firmware had set up (BARs, without decoding or
 * bus mastering). False: that was the first half, call it again after as long. */
#define PCI_RESET_NS 100000000UL
bool pci_reset_start(struct pci_device *d);
bool __must_check pci_reset_finish(struct pci_device *d);
