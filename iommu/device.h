/* Devices and their TLBs, as the files of iommu/ see them. */
#pragma once

#include <iommu/domain.h>

/* The domain's batch changed [first, last]: have each device that caches translations drop it, after the IOTLB's
 * invalidation that was submitted before. Each of them is one more party that answers the batch. The domain's lock is
 * held. */
void device_flush_tlbs(struct iommu_domain *d, struct iommu_batch *b, dfn_t first, dfn_t last);
/* A unit has blamed this requester id for an invalidation that failed: cut it off. False if no domain has it. Interrupt
 * context, no lock held. */
bool device_blame(struct iommu_unit *u, u16 bdf, const char *what);
/* Count a fault of dev, and cut the device off if there are too many; if it is nobody's, its faults are not recorded then. Its owner, or OWNER_NONE; name for the message.
 * reason: VT-d 7.2.3. */
u16 device_count_fault(struct pci_id dev, u32 reason, char *name, size_t size);
