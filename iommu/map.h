/* Mapping in second-stage tables. */
#pragma once

#include <iommu/domain.h>

/* As iommu_map(). The domain's lock is held. */
int __must_check table_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm);
