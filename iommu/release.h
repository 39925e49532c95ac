/* From the last answer to the last frame: see iommu/release.c. */
#pragma once

#include <iommu/domain.h>

/* Set up a domain's batch. */
void release_init(struct iommu_batch *b);
/* One more party has to answer a batch that is in flight. False: all have answered. */
bool __must_check release_join(struct iommu_batch *b);
