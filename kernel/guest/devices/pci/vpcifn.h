/* A function on a virtual PCI bus: what the files kernel/guest/devices/pci/vpci*.c and kernel/guest/devices/pci/vmsi.c share. */
#pragma once

#include <drivers/pci.h>
#include <iommu/iommu.h>
#include <kernel/core/clock.h>
#include <kernel/lib/list.h>
#include <kernel/core/spinlock.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/core/work.h>

struct vcpu;
struct vfunction;

#define VPCI_SLOTS 32 /* the last one stays free for what Weir makes: VVIRTIO_SLOT */

/* One interrupt of a device: MSI's only one, or an entry of the MSI-X table. */
struct vmsi_vector {
	struct vfunction *fn;
	u32 index;
	/* As the guest wrote them. */
	u64 address;
	u32 data;
	bool masked;
	/* What it comes to: 0, or VALID | vCPU << 8 | vector. Read by the handler without a
	 * lock. */
	u32 route;
	bool allocated; /* a host vector and a remapping entry */
	u32 host_cpu;
	int host_vector;
	struct iommu_irte irte;
};

/* How far it is on its way to the domain or back: see kernel/guest/devices/pci/assign.c. */
enum assign_stage { ASSIGN_RESET, ASSIGN_MAP, ASSIGN_ATTACH, ASSIGN_DETACH, ASSIGN_LEFT };

struct vbar {
	u64 address; /* in guest-physical memory, as the guest wrote it */
	bool mapped; /* there, for the CPUs */
	u64 mapped_at;
};

/* What a trapped range of a BAR belongs to. */
struct vtrap {
	struct vpci *bus;
	u8 slot, bar;
};

struct vfunction {
	struct domain *domain;
	struct pci_device *dev;
	struct vpci *bus;
	u16 command; /* as the guest sees it */
	u8 interrupt_line; /* scratch */
	u16 pm_state;
	struct vbar bar[PCI_BARS];
	u64 window_offset[PCI_BARS]; /* where in the BAR dev->window begins */

	bool msi_enabled;
	bool msix_enabled, msix_masked;
	u32 nr_vectors; /* of MSI-X; 0: none */
	u32 msix_bar, msix_offset, pba_bar, pba_offset;
	struct vmsi_vector msi;
	struct vmsi_vector *msix;

	/* Storms, see kernel/guest/devices/pci/vmsi.c. The window and its count are changed by handlers without a lock. */
	u64 window_start;
	u32 window_count;
	bool paused; /* its interrupts are off until the timer fires */
	bool pause_is_awaited; /* one of `leaving` */
	u64 paused_at;
	struct timer pause_timer;

	/* kernel/guest/devices/pci/assign.c's */
	enum assign_stage stage;
	struct list link; /* vpci.functions */
	u32 flags; /* IOMMU_ATS */
	u32 slot; /* while it is attached */
	gfn_t next_gfn; /* how far the domain's memory is mapped for devices */
	u64 generation; /* of the nested tables, without its registers */
	bool suspended; /* it waits for its domain, which is started again */
	bool comes_back; /* detached for that only */
	u32 leaving; /* what has still to go: the context, interrupts; atomic */
	struct timer timer;
	struct work work;
};

struct vpci {
	struct domain *domain;
	struct spinlock lock; /* guards all of the bus and its functions; before nested.lock and the IOMMU's */
	u32 address; /* CONFIG_ADDRESS */
	struct vfunction *slot[VPCI_SLOTS];
	struct vtrap trap[VPCI_SLOTS][PCI_BARS]; /* an access that has begun may outlive the function */

	/* kernel/guest/devices/pci/assign.c's */
	struct list functions; /* those that come and go, too */
	u32 holds; /* by those, and by the end of the domain */
	bool ending, suspended;
	void (*left)(void *arg);
	void *left_arg;
};

/* --- kernel/guest/devices/pci/vpciconfig.c ----------------------------------------------------------------------------------------------- */

/* A dword of a function's config space, through the filter; offset is a multiple of 4, mask says
 * which bits are written. Bus locked. */
u32 vconfig_read(struct vfunction *f, u8 offset);
void vconfig_write(struct vfunction *f, u8 offset, u32 value, u32 mask);

/* --- kernel/guest/devices/pci/vpcibar.c --------------------------------------------------------------------------------------------------- */

/* Choose guest addresses for the BARs. -ENOSPC if they do not fit into the guest's device
 * window. */
int __must_check vbar_place(struct vfunction *f);
/* Map or unmap after the command register or a BAR has changed. Bus locked. */
void vbar_update(struct vfunction *f);
void vbar_unmap_all(struct vfunction *f);
u32 vbar_read(const struct vfunction *f, u32 i);
void vbar_write(struct vfunction *f, u32 i, u32 value, u32 mask);

/* --- kernel/guest/devices/pci/vmsi.c ------------------------------------------------------------------------------------------------------ */

/* Read the device's capabilities. -ENOMEM, -EINVAL (broken MSI-X capability). */
int __must_check vmsi_init(struct vfunction *f);
/* A dword of the MSI (offset from the capability) or of the MSI-X capability. Bus locked. */
u32 vmsi_read(struct vfunction *f, u8 offset);
void vmsi_write(struct vfunction *f, u8 offset, u32 value, u32 mask);
u32 vmsix_read(struct vfunction *f, u8 offset);
void vmsix_write(struct vfunction *f, u8 offset, u32 value, u32 mask);
/* The MSI-X table, offset in bytes from its start. Bus locked. */
u32 vmsix_table_read(struct vfunction *f, u32 offset);
void vmsix_table_write(struct vfunction *f, u32 offset, u32 value);
/* An interrupt message of a device that Weir makes, as the guest wrote it; false: it means none. */
bool vmsi_message(const struct domain *d, u64 address, u32 data);
/* Block all its interrupts; assign_left_one() is called for each that was in use, once it can not
 * come any more. It is off the bus, which is not locked. */
void vmsi_remove(struct vfunction *f);
void vmsi_free(struct vfunction *f);

/* --- kernel/guest/devices/pci/assign.c ----------------------------------------------------------------------------------------------------- */

/* Something more has to go before f is free, or has gone; any context. */
void assign_leaving_one(struct vfunction *f);
void assign_left_one(struct vfunction *f);
