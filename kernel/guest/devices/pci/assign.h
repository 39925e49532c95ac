/* Functions given to domains and taken back, at boot and at run time. See kernel/guest/devices/pci/assign.c. */
#pragma once

#include <drivers/pci.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct domain;

/* NULL, or why this function (NULL: there is none) can be given to no domain; trusted: not even to the control domain. */
const char *assign_why_never(const struct pci_device *dev, bool trusted);
/* NULL, or why it cannot be given to d now; the text may stand in the caller's buffer. flags: IOMMU_ATS. */
const char *assign_why_not(const struct domain *d, const struct pci_device *dev, u32 flags,
			   char *buf, size_t size);

/* Begin to give `dev` to d, which is held (domain_get()) and has a PCI bus, after assign_why_not(). Does not wait: pci_device.state
 * tells how far it is; what goes wrong is told in the log, and leaves the function free. -EBUSY: it is not free; -ENOMEM. */
int __must_check assign_start(struct domain *d, struct pci_device *dev, u32 flags);
/* Boot: sleep until no function of d is on its way any more; how many it has. */
u32 assign_settle(struct domain *d);
/* Begin to take `dev` from the domain that has it. Does not wait. -EBUSY: no domain has it, or it is on its way. */
int __must_check assign_take(struct pci_device *dev);
/* d is started again, and its vCPUs are stopped: take its functions away as from a dying domain, but keep them for it. Call it until
 * it is STEP_DONE: none can reach d's memory now, and those that are on their way to d wait. */
enum step assign_suspend(struct domain *d);
/* Give them back, reset. Call it until it is STEP_DONE: all are there, but for those that could not be attached, which was said. */
enum step assign_resume(struct domain *d);
/* Take all functions from a dying domain, and its bus; then done(arg), in work context or at once. */
void assign_take_all(struct domain *d, void (*done)(void *arg), void *arg);
