/* A unit's fault event (VT-d chapter 7). */
#pragma once

#include <iommu/unit.h>

/* Set up the fault event. Boot. -ENOSPC: no vector. */
int __must_check fault_init(struct iommu_unit *u);
