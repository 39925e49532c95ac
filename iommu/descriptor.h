/* Invalidation descriptors (VT-d 6.5.2). */
#pragma once

#include <iommu/regs.h>
#include <kernel/lib/types.h>

struct iommu_unit;

/* Requester ids of a device and of its physical function, which may be itself. */
struct qi_device_ids {
	u16 sid, pfsid;
};

/* The context cache: all of it; the entry of one device, cached under this domain id. */
struct qi_desc qi_context_global(void);
struct qi_desc qi_context_device(u16 did, u16 sid);
/* Requests under way may use an old translation: the flush waits for them. Units that cannot do so
 * are refused (iommu/unit.c). */
#define QI_IOTLB_DRAIN (QI_IOTLB_DR | QI_IOTLB_DW)
/* The IOTLB and the paging-structure caches: everything; what is tagged with a domain id. */
static inline struct qi_desc qi_iotlb_global(void)
{
	return (struct qi_desc){ QI_TYPE_IOTLB | QI_GLOBAL | QI_IOTLB_DRAIN, 0 };
}

static inline struct qi_desc qi_iotlb_domain(u16 did)
{
	return (struct qi_desc){
		QI_TYPE_IOTLB | QI_DOMAIN | QI_IOTLB_DRAIN | FIELD_PREP(QI_DID, did), 0
	};
}

/* 1 << am device frames from dfn, which is aligned to that. leaf_only: the paging-structure caches
 * may stay (IH = 1). */
static inline struct qi_desc qi_iotlb_pages(u16 did, u64 dfn, u32 am, bool leaf_only)
{
	return (struct qi_desc){ QI_TYPE_IOTLB | QI_PAGE | QI_IOTLB_DRAIN | FIELD_PREP(QI_DID, did),
				 (dfn << PAGE_SHIFT & QI_IOTLB_ADDR) | FIELD_PREP(QI_IOTLB_AM, am) |
					 (leaf_only ? QI_IOTLB_IH : 0) };
}

/* A device's own TLB: device frames [first, last], rounded up to what the descriptor can say.
 * depth: the size of the device's invalidation queue, 1 to 32. */
struct qi_desc qi_device_tlb(const struct iommu_unit *u, struct qi_device_ids ids, u32 depth,
			     u64 first, u64 last);
/* The interrupt entry cache: 1 << order entries from `first`, which is aligned to that, and order
 * is at most ECAP.MHMV; everything. */
struct qi_desc qi_iec_entries(u16 first, u32 order);
struct qi_desc qi_iec_global(void);
