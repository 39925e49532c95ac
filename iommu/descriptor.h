/* Invalidation descriptors (VT-d 6.5.2). */
#pragma once

#include <iommu/regs.h>
#include <kernel/lib/types.h>

struct iommu_unit;

/* The context cache: all of it; the entry of one device, cached under this domain id. */
struct qi_desc qi_context_global(void);
struct qi_desc qi_context_device(u16 did, u16 sid);
/* The IOTLB and the paging-structure caches: everything; what is tagged with a domain id. */
struct qi_desc qi_iotlb_global(const struct iommu_unit *u);
struct qi_desc qi_iotlb_domain(const struct iommu_unit *u, u16 did);
/* 1 << am device frames from dfn, which is aligned to that. leaf_only: the paging-structure caches
 * may stay (IH = 1). */
struct qi_desc qi_iotlb_pages(const struct iommu_unit *u, u16 did, u64 dfn, u32 am, bool leaf_only);
/* A device's own TLB: device frames [first, last], rounded up to what the descriptor can say.
 * depth: the size of the device's invalidation queue, 1 to 32. */
struct qi_desc qi_device_tlb(const struct iommu_unit *u, u16 sid, u32 depth, u64 first, u64 last);
/* The interrupt entry cache: 1 << order entries from `first`, which is aligned to that, and order
 * is at most ECAP.MHMV; everything. */
struct qi_desc qi_iec_entries(u16 first, u32 order);
struct qi_desc qi_iec_global(void);
