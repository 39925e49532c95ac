/* Root and context tables (VT-d 9.1, 9.3): which device uses whose tables. */
#pragma once

#include <iommu/unit.h>

/* Let requester id bdf use the tables at root; ats: what it has translated itself passes unchecked. -ENOMEM. The entry was
 * not present. */
int __must_check context_set(struct iommu_unit *u, u16 bdf, paddr_t root, unsigned int levels,
			     u16 did, bool ats);
/* Block it; quiet: and record no faults of its requests, until it is set again. The caches still have the old entry until they are
 * invalidated. False: there is no entry, nor memory for one. */
bool context_clear(struct iommu_unit *u, u16 bdf, bool quiet);
