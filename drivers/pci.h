/* The machine's PCI functions: one record each, kept for good. They are found at boot, or later by
 * a scan that the control domain asks for. */
#pragma once

#include <drivers/pciconfig.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/pci_id.h>
#include <kernel/lib/pci_regs.h>

#define PCI_MAX_DEVICES 1024
#define PCI_VENDOR_CAPS 8

struct pci_bar {
	paddr_t base;
	u64 size; /* bytes; 0: there is none (or it is the upper half of the one before) */
	bool io, is64, prefetchable;
};

enum pci_state { PCI_FREE, PCI_ATTACHING, PCI_ATTACHED, PCI_DETACHING };

struct vfunction;

enum pci_reset_phase { PCI_RESET_IDLE, PCI_RESET_PENDING, PCI_RESET_STARTED, PCI_RESET_ASKING };

struct pci_reset {
	enum pci_reset_phase phase;
	u8 method; /* of the reset that is under way */
	u32 waited_ms; /* in this phase */
	bool lost; /* it did not answer after its last reset */
};

struct pci_device {
	struct pci_id id;
	u16 vendor, device, class;
	u8 header; /* its type, without the multi-function bit */
	u8 pm, msi, msix, pcie, af; /* offsets of capabilities; 0: absent */
	u8 vendor_cap[PCI_VENDOR_CAPS]; /* offsets of the vendor-specific ones; 0: no more */
	u16 acs, ats, ari, sriov; /* offsets of extended capabilities; 0: absent */
	u16 device_control; /* of PCI Express, as it was before the reset */
	struct pci_reset reset; /* see drivers/pcireset.h */
	u8 presence; /* atomic; see drivers/pcipresence.h */
	/* It is behind a bridge to conventional PCI, where requests carry no requester id: for all
	 * of them the bridge uses its own id, or that of its secondary bus's 00.0. */
	bool shared_id;
	/* Of a virtual function: its physical function, whose SR-IOV capability has the BARs, and
	 * tells the vendor and the device id. */
	const struct pci_device *physical;
	u32 nr_virtual; /* virtual functions that are enabled */
	struct pci_bar bar[PCI_BARS];
	bool bars_ok; /* every memory BAR is set, and overlaps nothing else that is known */
	/* The rest belongs to kernel/guest/devices/pci/assign.c. */
	enum pci_state state;
	u16 owner; /* id of the domain that has it, gets it or had it last; 0: it is free */
	struct vfunction *function; /* what that domain sees of it */
	/* Weir's mappings of registers that guests may not touch: created once, and kept. */
	volatile void *window[PCI_BARS], *msix_table;
};

/* --- functions ------------------------------------------------------------ */

/* Find all functions behind the host bridges, and disable bus mastering of all that are no bridges,
 * of those too that do not fit into the list: it is enabled again when one is assigned. Boot, after
 * the allocator is up. */
void pci_init(void);
/* True if the list has every function that the machine has. */
bool pci_list_is_whole(void);
/* The function, or NULL. */
struct pci_device *pci_find(struct pci_id id);
/* All functions, by number from 0; NULL behind the last. */
struct pci_device *pci_device_at(u32 index);
/* Add a virtual function of pf, which answers already (drivers/sriov.c). NULL: there is no room.
 * Boot. */
struct pci_device *pci_add_virtual(const struct pci_device *pf, u16 bdf, u16 device,
				   const struct pci_bar bar[PCI_BARS]);
/* The function at this address has come since the boot: add it. NULL: nothing is there, or there is
 * no room. Only one CPU at a time. */
struct pci_device *pci_add_late(struct pci_id id);
/* Another function has taken d's place, and no domain has it: read it anew. */
void pci_read_again(struct pci_device *d);
/* The physical function of a virtual one; any other function is its own. */
struct pci_id pci_physical(struct pci_id id);

/* --- bridges -------------------------------------------------------------- */

/* The type of a function with a PCI Express capability (PCI Express Base 5.0, 7.5.3.2). */
enum pci_express_type {
	PCI_EXPRESS_ROOT_PORT = 4,
	PCI_EXPRESS_DOWNSTREAM = 6,
	PCI_EXPRESS_TO_PCI = 7,
	PCI_EXPRESS_FROM_PCI = 8,
};
enum pci_express_type pci_express_type(const struct pci_device *d);
bool pci_is_bridge(const struct pci_device *d);
/* True if a domain may get it, or it must at least be kept quiet. Host and ISA bridges have the
 * same header, but stay as the firmware has set them up. */
static inline bool pci_is_endpoint(const struct pci_device *d)
{
	return d->header == PCI_HEADER_TYPE_NORMAL && d->class != PCI_CLASS_HOST_BRIDGE &&
	       d->class != PCI_CLASS_ISA_BRIDGE;
}
/* The number of the bus behind a bridge. */
u8 pci_secondary_bus(const struct pci_device *bridge);
/* The bridge that leads to d's bus; NULL: it is a root bus. */
const struct pci_device *pci_bridge_above(const struct pci_device *d);

/* --- registers of a function ---------------------------------------------- */

/* As pci_config_*() of drivers/pciconfig.h. */
static inline u8 pci_read8(const struct pci_device *d, u32 offset)
{
	return pci_config_read8(d->id.segment, d->id.bdf, (u16)offset);
}

static inline u16 pci_read16(const struct pci_device *d, u32 offset)
{
	return pci_config_read16(d->id.segment, d->id.bdf, (u16)offset);
}

static inline u32 pci_read32(const struct pci_device *d, u32 offset)
{
	return pci_config_read32(d->id.segment, d->id.bdf, (u16)offset);
}

static inline void pci_write8(const struct pci_device *d, u32 offset, u8 value)
{
	pci_config_write8(d->id.segment, d->id.bdf, (u16)offset, value);
}

static inline void pci_write16(const struct pci_device *d, u32 offset, u16 value)
{
	pci_config_write16(d->id.segment, d->id.bdf, (u16)offset, value);
}

static inline void pci_write32(const struct pci_device *d, u32 offset, u32 value)
{
	pci_config_write32(d->id.segment, d->id.bdf, (u16)offset, value);
}
