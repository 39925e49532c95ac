/* Assigns functions to domains and takes them back, at boot and at run time. assign.c has a diagram
 * of the stages. Nothing blocks: assign_start() and assign_take() only start the operation, and
 * pci_device.state shows its progress. */
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

/* Guards owner, function and state of all pci_devices, the stages of their vfunctions, and those
 * fields of buses that struct vpci names. No other lock is taken inside. */
extern struct spinlock assign_lock;

/* Start to assign dev to d; assignable_why_not() has been checked. flags: IOMMU_ATS. The caller
 * holds a reference to d (domain_get()), and d has a PCI bus. A later failure is logged and leaves
 * the function free. -EBUSY: it is not free; -ENOMEM. No lock is held. */
int __must_check assign_start(struct domain *d, struct pci_device *dev, u32 flags);
/* Start to take dev from its domain. -EBUSY: no domain has it, or it is being attached or detached.
 * No lock is held. */
int __must_check assign_take(struct pci_device *dev);
/* Start to take all attached functions from a bus. If the bus is suspended and not ending, they are
 * attached again afterwards. No lock is held. */
void assign_take_all(struct vpci *p);

/* Count what f must wait for before it can leave DRAIN: hold it once for each thing, and release it
 * when that thing is done. Any context. */
void assign_hold(struct vfunction *f);
void assign_release(struct vfunction *f);
