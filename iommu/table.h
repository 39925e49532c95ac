/* Second-stage tables. All functions: the domain's lock is held. */
#pragma once

#include <iommu/domain.h>

/* The root table. -ENOMEM. */
int __must_check table_init(struct iommu_domain *d);

/* As iommu_map() and iommu_unmap(). */
int __must_check table_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm);
void table_unmap(struct iommu_gather *g, dfn_t dfn, u64 nr);

/* Release what the batch has made tombstones of, from b->next on, looking at about `budget`
 * entries. True: finished. */
bool table_release(struct iommu_batch *b, unsigned int budget);
/* Release everything, when no device can reach it and no batch is left: one table a call. True: all
 * is gone. */
bool table_destroy_step(struct iommu_domain *d);

/* A table of the reserve, typed and zeroed; NULL: no memory. */
u64 *table_alloc(struct iommu_domain *d);
void table_free(struct iommu_domain *d, u64 *table);

/* --- to look at ---------------------------------------------------------------------------------------------------- */

/* The entries that a walk for dfn meets, from the root down; how many. *mfn: the page it ends at,
 * or INVALID_MFN. Takes the lock itself. */
unsigned int table_walk(struct iommu_domain *d, dfn_t dfn, u64 entry[5], mfn_t *mfn);
bool table_is_tombstone(u64 entry);
