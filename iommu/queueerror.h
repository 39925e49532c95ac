/* Errors of the invalidation queue (VT-d 6.5.2.10). */
#pragma once

#include <kernel/lib/types.h>

struct iommu_unit;

/* FSTS_REG, as read in fsts, has IQE, ICE or ITE set: find the cause, quarantine the device if it
 * was one, and go on. Deferred work, no lock held. */
void queue_error(struct iommu_unit *u, u32 fsts);
