/* Units that are lost: they cannot be used from the start, or die while the machine runs. The other
 * units go on. */
#pragma once

#include <iommu/unit.h>

/* A unit that is gone reads as all ones. No bit above 15 of FSTS is ever set (11.4.9). */
static inline bool unit_is_gone(const struct iommu_unit *u)
{
	return hw_read32(u->regs, FSTS_REG) == ~0u;
}

/* Name the functions that cannot be given to anybody because unit u does not work, and what helps.
 * The reason has been logged. Boot. */
void lost_at_start(const struct iommu_unit *u);
/* The unit is gone: nothing is posted to it any more, and its devices are stopped. The second call
 * does nothing. Deferred work, no lock held. */
void lost_while_running(struct iommu_unit *u);
