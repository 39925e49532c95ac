/* The virtual PCI bus of a domain: which function is in which slot, and what happens to all
 * functions when the domain is built, restarts or ends. vpciports.h has the ports through which the
 * guest accesses it, vconfig.h what the guest sees of a function. See docs/architecture.md.
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
#define VPCI_BALLOON_SLOT 31u /* never used for a function */
/* How many functions fit: slot 0 is the host bridge. */
#define VPCI_MAX_FUNCTIONS (VPCI_SLOTS - 2)

/* The guest's window for memory BARs, below 4 GiB, where there is neither RAM nor an APIC. The
 * guest's ACPI tables describe it. */
#define VPCI_WINDOW_START 0xe0000000UL
#define VPCI_WINDOW_END 0xfec00000UL
#define VPCI_WINDOW_MIB 492
_Static_assert(VPCI_WINDOW_END - VPCI_WINDOW_START == VPCI_WINDOW_MIB * 0x100000UL, "its size");

struct vpci {
	struct domain *domain;
	/* Guards the bus and its functions. Taken before vvirtio.lock, nested.lock and the IOMMU's
	 * locks. */
	struct spinlock lock;
	u32 address; /* CONFIG_ADDRESS */
	u8 reset_control; /* see vpciports.c */
	struct vfunction *slot[VPCI_SLOTS];
	struct vtrap trap[VPCI_SLOTS][PCI_BARS];

	/* assign_lock guards the rest. */
	struct list functions; /* including those being attached or detached */
	u32 users; /* those functions, and vpci_end() */
	bool ending, suspended;
	void (*ended)(void *arg);
	void *ended_arg;
};

/* Create an empty bus for d, and register its ports. -ENOMEM, -ENOSPC. Boot. */
int __must_check vpci_init(struct domain *d);

/* --- all functions of a domain -------------------------------------------- */

/* False: a function of d is being attached or detached. *attached: how many d has, or gets as soon
 * as they answer after their reset. Boot. */
bool vpci_settled(struct domain *d, u32 *attached);
/* d restarts, and its vCPUs are stopped: take its functions away as from a dying domain, but keep
 * them for d. Call this until it returns STEP_DONE: then none of them can reach d's memory, and
 * those that are being attached wait for vpci_resume(). */
enum step vpci_suspend(struct domain *d);
/* Give the functions back after their reset. Call this until it returns STEP_DONE: then all are
 * attached, except for those that failed, which is logged. */
enum step vpci_resume(struct domain *d);
/* Take all functions from a dying domain, and free its bus. Then ended(arg) is called, in work
 * context or before this function returns. */
void vpci_end(struct domain *d, void (*ended)(void *arg), void *arg);

/* --- for the other files of this directory -------------------------------- */

/* Choose a slot for a function: `wanted` if that is free. 0: the bus is full. The bus is locked. */
u32 vpci_choose_slot(const struct vpci *p, u32 wanted);
/* True if f is in its slot, where the guest sees it. The bus is locked. */
bool vpci_is_on_bus(const struct vfunction *f);
/* f is being attached, and uses the bus until vpci_put(). assign_lock is held. */
void vpci_add_user(struct vpci *p, struct vfunction *f);
/* Drop one user. The last one of an ending bus frees it. No lock is held. */
void vpci_put(struct vpci *p);
