/* The DMA remapping table of the firmware (VT-d chapter 8), checked and taken apart. */
#pragma once

#include <iommu/iommu.h>

#define DMAR_MAX_UNITS 64
#define DMAR_NO_UNIT 0xff /* the index of one that is listed, and cannot be used */
#define DMAR_MAX_SCOPES 1024
#define DMAR_MAX_RESERVED 256
#define DMAR_MAX_ATS 256

/* A device scope (8.3.1), resolved to the devices it means. */
struct dmar_scope {
	u16 segment;
	u8 unit; /* index, for those of a unit */
	bool sub_hierarchy; /* everything from first_bus to last_bus */
	u16 bdf; /* else: this function */
	u8 first_bus, last_bus;
};

struct dmar_unit {
	paddr_t base;
	u32 size; /* bytes of registers */
	u16 segment;
	bool include_all;
};

/* Reserved memory (8.4): the firmware's own DMA of these devices. */
struct dmar_reserved {
	const char *why_not; /* the device cannot be attached with it; NULL: it can */
	paddr_t first, last;
	struct dmar_scope device;
};

struct dmar {
	u32 address_width; /* bits */
	bool intr_remap; /* FLAGS.INTR_REMAP */
	bool dma_opt_in; /* FLAGS.DMA_CTRL_PLATFORM_OPT_IN_FLAG */
	bool incomplete; /* something did not fit, or could not be read, that safety depends on */
	u32 nr_units, nr_scopes, nr_reserved, nr_ats;
	u32 lost_units, lost_scopes, lost_reserved, lost_ats; /* beyond the limits */
	struct dmar_unit unit[DMAR_MAX_UNITS];
	struct dmar_scope scope[DMAR_MAX_SCOPES]; /* of the units */
	struct dmar_reserved reserved[DMAR_MAX_RESERVED];
	struct dmar_scope ats[DMAR_MAX_ATS]; /* root ports and devices with ATS (8.5, 8.8) */
};

/* Bus numbers behind a bridge: true with *secondary and *subordinate if `bdf` is one. */
typedef bool (*dmar_bridge_fn)(u16 segment, u16 bdf, u8 *secondary, u8 *subordinate);

/* Parse a table whose ACPI checksum is right. What is broken or does not fit is named in the log
 * and left out. -EINVAL if there is no unit that can be used. */
int __must_check dmar_parse(const void *table, size_t size, dmar_bridge_fn bridge, struct dmar *d);
/* Index of the unit that translates for dev, or -1. */
int dmar_unit_of(const struct dmar *d, struct pci_id dev);
/* True if the firmware says that dev, or the root port it is behind, supports ATS. */
bool dmar_ats_allowed(const struct dmar *d, struct pci_id dev);
/* True if reserved[i] is for dev. */
bool dmar_is_reserved_for(const struct dmar *d, u32 i, struct pci_id dev);
/* The reserved memory that the firmware claims for dev, or NULL. */
const struct dmar_reserved *dmar_reserved_of(const struct dmar *d, struct pci_id dev);
