/* Unmapping in second-stage tables. All functions: the domain's lock is held. */
#pragma once

#include <iommu/domain.h>

/* As iommu_unmap(). */
void table_unmap(struct iommu_gather *g, dfn_t dfn, u64 nr);
/* A mapping at dfn has failed: unlink the tables that were made on the way there and hold nothing,
 * unless an earlier batch has tombstones somewhere. */
void table_prune(struct iommu_gather *g, dfn_t dfn);
