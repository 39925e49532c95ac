/* Checks whether a function may be assigned to a domain. */
#pragma once

#include <drivers/pci.h>
#include <kernel/lib/compiler.h>

struct domain;

/* NULL, or the reason why no domain can have this function. dev is NULL if there is no such
 * function. trusted: see iommu_why_not(). */
const char *assignable_why_never(const struct pci_device *dev, bool trusted);
/* NULL, or the reason why d cannot have it now. flags: IOMMU_ATS. The text may be in the caller's
 * buffer buf, which has `size` bytes. No lock is held. */
const char *assignable_why_not(const struct domain *d, const struct pci_device *dev, u32 flags,
			       char *buf, size_t size);
