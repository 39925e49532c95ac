/* The virtual PCI bus of a domain: config mechanism 1 (ports 0xCF8/0xCFC), a host bridge at
 * 00:00.0, and the functions that the domain owns, each behind a filter. See docs/architecture.md.
 */
#pragma once

#include <iommu/iommu.h>
#include <kernel/compiler.h>

struct domain;
struct pci_device;
struct vpci;

/* Build an empty bus for d and register its ports. -ENOMEM, -ENOSPC. */
int __must_check vpci_init(struct domain *d);
/* NULL, or why this function (NULL: there is none) can be given to no domain; trusted: not even to the control domain. */
const char *vpci_why_not(const struct pci_device *dev, bool trusted);
/* Give function `dev` to d: check it (there, a normal function, not given already,
 * iommu_why_not()), reset it, size its BARs, attach it to d's I/O tables, put it on the virtual bus
 * at the same device number if free. One line in the log naming the device, the reason and the
 * remedy when it fails; nothing is changed then. flags: IOMMU_ATS. */
int __must_check vpci_assign(struct domain *d, struct pci_id dev, u32 flags);
/* Take all functions from a dying domain: bus mastering off, interrupts freed, detached, reset once
 * no cached translation is left; then done(arg). Does not wait. */
void vpci_remove_all(struct domain *d, void (*done)(void *arg), void *arg);
