/* The control domain's identity map: its devices' addresses are machine addresses. A set of ranges is computed from the memory
 * map, and each is mapped by one call; so the cost goes with the number of ranges and superpages, never with pages. */
#pragma once

#include <iommu/iommu.h>
#include <kernel/lib/rangeset.h>

enum identity_policy {
	IDENTITY_NONE, /* no map: the control domain can have no device */
	IDENTITY_STRICT, /* its own memory */
	IDENTITY_RELAXED, /* and all RAM that is neither Weir's nor another domain's */
	IDENTITY_INCLUSIVE, /* and what the firmware reserves below 4 GiB */
};

/* What is no RAM and may be mapped for the control domain's devices: `reserved` (frames) below 4 GiB, without the interrupt
 * window, the units' registers, and `holes`. -ENOSPC: out is too small. */
int __must_check identity_reserved(const struct rangeset *reserved, const struct rangeset *holes,
				   struct rangeset *out);
/* Map each range of frames to itself for d's devices, read and write; flags: 0 for RAM, which d's owner must own, or
 * IOMMU_NOT_RAM. All or nothing. -EAGAIN: no batch; else as iommu_map(). */
int __must_check identity_map(struct iommu_domain *d, const struct rangeset *frames, u32 flags);
