/* A unit's interrupt remapping (VT-d chapter 5). */
#pragma once

#include <iommu/unit.h>

/* Set up the table and switch remapping on. Boot. False, and the reason is logged: no memory, or
 * the unit does not answer. */
bool __must_check intremap_init(struct iommu_unit *u);
