/* The release of a batch. The picture is in iommu/release.c. */
#pragma once

#include <iommu/domain.h>

/* Set up a domain's batch. */
void release_init(struct iommu_batch *b);
/* One more party has to answer a batch that is in flight. False: all have answered. */
bool __must_check release_join(struct iommu_batch *b);
