/* The record of an assigned PCI function, shared by the files of this directory. It exists from the
 * start of its assignment until the function is free again. */
#pragma once

#include <drivers/pci.h>
#include <iommu/iommu.h>
#include <kernel/core/clock.h>
#include <kernel/core/work.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/irqstorm.h>
#include <kernel/guest/devices/pci/msixregs.h>
#include <kernel/guest/devices/pci/virq.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>

struct domain;
struct vpci;

/* ENTERING and LEAVING take a number of bounded steps. */
enum vbar_state { VBAR_OUT, VBAR_ENTERING, VBAR_IN, VBAR_LEAVING };

/* A BAR as the guest sees it. */
struct vbar {
	u64 place; /* guest-physical, as Weir chose it; 0: it is no memory BAR */
	u64 address; /* the same at first, then as the guest wrote it */
	enum vbar_state state;
	u64 mapped_at;
	/* The part that is mapped for the CPUs, trapped pages included: it grows from the BAR's
	 * start, and shrinks from there. */
	u64 from, to;
	bool refused; /* something else is at mapped_at */
};

/* While the function is on the bus, the bus's lock guards the fields that name no other lock. */
struct vfunction {
	struct domain *domain;
	struct pci_device *dev;
	struct vpci *bus;

	/* Config space (vconfig.c) and BARs (vbar.c, vtrap.c) */
	u16 command; /* as the guest sees it */
	u8 interrupt_line; /* a scratch register */
	u16 pm_state;
	struct vbar bar[PCI_BARS];
	bool bars_move; /* vbar_update() has more to do */
	u64 window_offset[PCI_BARS]; /* where dev->window starts in the BAR */

	/* Interrupts: vmsi.c, vmsix.c, irqstorm.c. The sets have a bit for each index of virq. */
	bool msi_enabled;
	struct virq msi; /* its index is nr_vectors */
	struct msix_control msix;
	u32 nr_vectors; /* of MSI-X, as the guest sees; 0: no MSI-X */
	u32 table_entries; /* in the device; those that the guest does not see stay masked */
	u32 table_masked; /* how many have been masked since the reset */
	struct virq *vector;
	u32 reserved; /* host vectors, on each CPU of the domain (virqquota.h) */
	struct iommu_irtes irtes;
	u64 allocated; /* those that have a host vector, and whose remapping entry is set */
	u64 open; /* those whose entry has come into force: the device may send their messages */
	u64 pending; /* those for which a message has been latched; atomic */
	u32 msix_bar, msix_offset;
	u32 pba_bar, pba_offset; /* PCI_BARS: the pending bits are in no BAR */
	struct irqstorm storm;

	/* Attaching and detaching: assign.c */
	enum assign_stage stage; /* changes under assign_lock */
	struct list link; /* vpci.functions; assign_lock */
	u32 flags; /* IOMMU_ATS */
	u32 slot; /* on the bus, or before a restart */
	gfn_t next_gfn; /* how much of the domain's memory is mapped for devices */
	bool unmapped; /* its registers are, while it is being detached */
	u64 generation; /* of the nested tables, since then */
	bool suspended; /* waiting while its domain restarts; assign_lock */
	bool comes_back; /* detached only for a restart; assign_lock */
	bool slow; /* it has not answered since its reset; assign_lock */
	u32 holds; /* atomic; see assign_hold() */
	struct timer timer;
	struct work work;
};

/* Create a record for assigning dev to d. NULL: no memory. */
struct vfunction *vfunction_create(struct domain *d, struct pci_device *dev, u32 flags);
/* Free the record. Nothing holds it. */
void vfunction_free(struct vfunction *f);
/* Read the device's capabilities, disable its interrupts, and reserve what they need. An error is
 * in `why`: -ENOMEM; -ENOSPC: no host vectors or remapping entries are left; -EINVAL: its MSI-X
 * table is not in its BARs. */
int __must_check vfunction_read_capabilities(struct vfunction *f, char *why, size_t size);
/* Block all its interrupts, and hold it (assign_hold()) until none can arrive any longer. The
 * function has left the bus, which is not locked. */
void vfunction_remove_interrupts(struct vfunction *f);
/* Reset everything that the guest has set up, before the function is attached again. Nothing holds
 * it. */
void vfunction_forget_guest(struct vfunction *f);

/* Log that its domain has it. */
void vfunction_log_attached(const struct vfunction *f);

/* --- the device's own config space ---------------------------------------- */

static inline u32 device_config_read32(const struct vfunction *f, u32 offset)
{
	return pci_config_read32(f->dev->id.segment, f->dev->id.bdf, (u16)offset);
}

static inline void device_config_write16(const struct vfunction *f, u32 offset, u32 value)
{
	pci_config_write16(f->dev->id.segment, f->dev->id.bdf, (u16)offset, (u16)value);
}

static inline void device_config_write32(const struct vfunction *f, u32 offset, u32 value)
{
	pci_config_write32(f->dev->id.segment, f->dev->id.bdf, (u16)offset, value);
}
