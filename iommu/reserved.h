/* Reserved memory of the firmware's (RMRR, VT-d 8.4): mapped one to one for the devices it is for. */
#pragma once

#include <iommu/domain.h>

/* Map the reserved memory of dev in d's tables, unless a device of d has it mapped already. Nothing is mapped and no count is
 * changed if it fails: -EAGAIN (no batch), -ENOMEM, -EEXIST (d has something else there), -EPERM (the firmware says that RAM is
 * reserved). No lock held. */
int __must_check reserved_map(struct iommu_domain *d, struct pci_id dev);
/* The device has gone: what no other device of d uses is unmapped. -EAGAIN, -ENOMEM: nothing was done, try again. No lock
 * held. */
int __must_check reserved_unmap(struct iommu_domain *d, struct pci_id dev);
