/* The answers to a batch. The picture is in iommu/commit.c. */
#pragma once

#include <iommu/domain.h>

/* Set up the requests of a domain's batch to the units. */
void commit_init(struct iommu_batch *b);
/* One more party has to answer a batch that is in flight. False: all have answered. */
bool __must_check commit_join(struct iommu_batch *b);
