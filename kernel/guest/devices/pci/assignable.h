/* Whether a function may be given to a domain. */
#pragma once

#include <drivers/pci.h>
#include <kernel/lib/compiler.h>

struct domain;

/* NULL, or why no domain can have this function (dev is NULL: there is no such function). trusted:
 * not even the control domain. */
const char *assignable_why_never(const struct pci_device *dev, bool trusted);
/* NULL, or why d cannot have it now; flags: IOMMU_ATS. The text may be in the caller's buffer,
 * which has `size` bytes. No lock is held. */
const char *assignable_why_not(const struct domain *d, const struct pci_device *dev, u32 flags,
			       char *buf, size_t size);
