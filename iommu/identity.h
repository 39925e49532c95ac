/* The control domain's identity map: its devices use machine addresses. A set of ranges is
 * computed from the memory map, and each is mapped by one call. So the cost depends on the number
 * of ranges and superpages, not on the number of pages. */
#pragma once

#include <iommu/iommu.h>
#include <kernel/lib/rangeset.h>

enum identity_policy {
	IDENTITY_NONE, /* no map: its devices use guest addresses, like those of other domains */
	IDENTITY_STRICT, /* its own memory */
	IDENTITY_RELAXED, /* also all RAM that is neither Weir's nor another domain's */
	IDENTITY_INCLUSIVE, /* also what the firmware reserves below 4 GiB */
};

/* What is not RAM and may be mapped for the control domain's devices, in frames: `reserved` below
 * 4 GiB, without the interrupt window, the units' registers, and `holes`. -ENOSPC: out is too
 * small. */
int __must_check identity_reserved(const struct rangeset *reserved, const struct rangeset *holes,
				   struct rangeset *out);
/* Map each range of frames to itself for the devices of the gather's domain, read and write.
 * flags: 0 for RAM, which the domain must own, or IOMMU_NOT_RAM. All or nothing; errors are those
 * of iommu_map(). After an error the gather's batch may hold references to the frames until it is
 * complete. */
int __must_check identity_map(struct iommu_gather *g, const struct rangeset *frames, u32 flags);
