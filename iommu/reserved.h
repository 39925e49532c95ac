/* Memory that the firmware reserves for a device (RMRR, VT-d 8.4): mapped one to one while a device
 * needs it. */
#pragma once

#include <iommu/domain.h>

/* Look at all regions, and name those that cannot be mapped. Boot. */
void reserved_check(void);
/* NULL if the regions of dev can be mapped, else why not. */
const char *reserved_why_not(struct pci_id dev);
/* Map the reserved memory of dev in d's tables, unless it is mapped for another device of d
 * already. If this fails, nothing is mapped and no count is changed: -EAGAIN (no batch), -ENOMEM,
 * -EEXIST (d has something else there), -EPERM (it is RAM). No lock held. */
int __must_check reserved_map(struct iommu_domain *d, struct pci_id dev);
/* Unmap what no other device of d uses. Never allocates. False: no batch is free; nothing was done,
 * and w's work is queued when one is. No lock held. */
bool __must_check reserved_unmap(struct iommu_domain *d, struct pci_id dev, struct batch_waiter *w);
