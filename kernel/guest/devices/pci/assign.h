/* A function is given to a domain and taken back, at boot and at run time. assign.c draws the
 * stages that it goes through. Nothing waits in place: assign_start() and assign_take() begin, and
 * pci_device.state tells how far it is. */
#pragma once

#include <drivers/pci.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/compiler.h>

struct domain;
struct vfunction;
struct vpci;

enum assign_stage {
	ASSIGN_FREE,
	ASSIGN_RESET,
	ASSIGN_MAP,
	ASSIGN_ATTACH,
	ASSIGN_ATTACHED,
	ASSIGN_DETACH,
	ASSIGN_DRAIN
};

/* Guards owner, function and state of all pci_devices, the stages of their vfunctions, and of a bus
 * what struct vpci says. Leaf. */
extern struct spinlock assign_lock;

/* Begin to give dev to d, after assignable_why_not(). The caller holds d (domain_get()), which has
 * a PCI bus. What goes wrong later is logged, and leaves the function free. -EBUSY: it is not free;
 * -ENOMEM. No lock is held. flags: IOMMU_ATS. */
int __must_check assign_start(struct domain *d, struct pci_device *dev, u32 flags);
/* Begin to take dev from the domain that has it. -EBUSY: no domain has it, or it is on its way. No
 * lock is held. */
int __must_check assign_take(struct pci_device *dev);
/* Begin to take all attached functions from a bus. If it is suspended, and not ending, they come
 * back afterwards. No lock is held. */
void assign_take_all(struct vpci *p);

/* While f is detached: one more thing must be gone before f is free; it is gone. Any context. */
void assign_hold(struct vfunction *f);
void assign_release(struct vfunction *f);
