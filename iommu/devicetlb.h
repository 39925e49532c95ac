/* TLBs that devices have themselves (ATS), and their invalidation. The rules are in
 * iommu/devicetlb.c. */
#pragma once

#include <iommu/domain.h>

struct device;

struct device_tlb {
	struct iommu_request request;
	struct list link; /* domain->device_tlbs; empty: ATS is off */
	/* The domain's batches that wait for the invalidation that is outstanding, and for the one
	 * after it; a bit per batch. An invalidation is outstanding while `flushing` is not 0. */
	u16 flushing, next;
	dfn_t first, last; /* the range that the next one must cover */
	/* Read when it is attached: the depth of its queue of invalidations, and its requester id
	 * with that of its physical function. */
	u32 depth;
	struct qi_device_ids ids;
	u64 posted; /* when the one that is outstanding was posted, in ns */
};
_Static_assert(BATCHES_PER_DOMAIN <= 16, "one bit per batch");

/* Prepare the record's TLB; it is off. */
void device_tlb_init(struct device_tlb *t);
/* The device may use its TLB from now on: commits flush it. Its context entry is not present yet.
 * The domain's lock is held, also below. */
void device_tlb_add(struct device *v);
/* Attaching has failed: undo that. */
void device_tlb_remove(struct device *v);
/* Switch the TLB on. The context entry is present and allows it. */
void device_tlb_enable(struct device *v);
/* True if the device is needed for an invalidation, and its link is dead. devices_lock is held
 * too. */
bool device_tlb_is_gone(struct device *v);
/* The device is isolated: remove its TLB, and return the batches that waited for it. */
u16 device_tlb_retire(struct device *v);

/* Batch b of domain d changed [first, last]: invalidate that range in the TLBs of d's devices,
 * after the IOTLB's invalidation that was submitted before. Each device is one more party that
 * answers the batch. */
void device_flush_tlbs(struct iommu_domain *d, struct iommu_batch *b, dfn_t first, dfn_t last);
