/* The release of a batch. The picture is in iommu/release.c. */
#pragma once

#include <iommu/domain.h>

/* Set up the work of a domain's batch, which is queued when all have answered. */
void release_init(struct iommu_batch *b);
