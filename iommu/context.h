/* Root and context tables (VT-d 9.1, 9.3): which device uses whose tables. */
#pragma once

#include <iommu/domain.h>

/* Let requester id bdf use the tables of d. ats: requests that it has translated itself pass
 * unchecked. The entry was not present. -ENOMEM. */
int __must_check context_set(struct iommu_unit *u, u16 bdf, const struct iommu_domain *d, bool ats);
/* Block the requester; quiet: and record no faults of its requests, until its entry is set again.
 * The caches may have the old entry until they are invalidated. False: there is no entry, and no
 * memory for one. */
bool context_clear(struct iommu_unit *u, u16 bdf, bool quiet);
