/* The virtual PCI bus of a domain: which function sits in which slot, and what happens to all of
 * them at once when the domain is built, restarts or ends. How the guest reaches it: vpciports.h.
 * What it sees of a function: vconfig.h. See docs/architecture.md.
 */
#pragma once

#include <drivers/pci.h>
#include <kernel/core/spinlock.h>
#include <kernel/guest/devices/pci/vtrap.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>
#include <kernel/lib/step.h>

struct domain;
struct vfunction;

#define VPCI_SLOTS 32
#define VPCI_BALLOON_SLOT 31u /* no function gets there */
/* Functions that fit: slot 0 is the host bridge. */
#define VPCI_MAX_FUNCTIONS (VPCI_SLOTS - 2)

/* The guest's window for memory BARs, below 4 GiB: no RAM and no APIC is there. Its ACPI tables
 * describe it. */
#define VPCI_WINDOW_START 0xe0000000UL
#define VPCI_WINDOW_END 0xfec00000UL

struct vpci {
	struct domain *domain;
	/* Guards all of the bus and its functions; before vvirtio.lock, nested.lock and the IOMMU's
	 * locks. */
	struct spinlock lock;
	u32 address; /* CONFIG_ADDRESS */
	struct vfunction *slot[VPCI_SLOTS];
	struct vtrap trap[VPCI_SLOTS][PCI_BARS];

	/* assign_lock guards the rest. */
	struct list functions; /* those that come and go, too */
	u32 users; /* those functions, and the end of the domain */
	bool ending, suspended;
	void (*ended)(void *arg);
	void *ended_arg;
};

/* Build an empty bus for d and register its ports. -ENOMEM, -ENOSPC. Boot. */
int __must_check vpci_init(struct domain *d);

/* --- all functions of a domain -------------------------------------------- */

/* Boot: sleep until no function of d is on its way any more. How many it has. */
u32 vpci_settle(struct domain *d);
/* d restarts, and its vCPUs are stopped: take its functions away as from a dying domain, but keep
 * them for it. Call it until it is STEP_DONE: then none can reach d's memory, and those that are on
 * their way to d wait. */
enum step vpci_suspend(struct domain *d);
/* Give them back, reset. Call it until it is STEP_DONE: then all are there, except those that could
 * not be attached; the log says why. */
enum step vpci_resume(struct domain *d);
/* Take all functions from a dying domain, and its bus. Then ended(arg), in work context or at
 * once. */
void vpci_end(struct domain *d, void (*ended)(void *arg), void *arg);

/* --- for the other files of this directory -------------------------------- */

/* The slot that a function can have: the wanted one if that is free; 0: the bus is full. The bus is
 * locked. */
u32 vpci_choose_slot(const struct vpci *p, u32 wanted);
/* Whether the guest sees f. The bus is locked. */
bool vpci_is_on_bus(const struct vfunction *f);
/* f is on its way to the domain, and uses the bus until vpci_put(). assign_lock is held. */
void vpci_add_user(struct vpci *p, struct vfunction *f);
/* One user is gone; the last one ends the bus. No lock is held. */
void vpci_put(struct vpci *p);
