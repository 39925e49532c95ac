/* A virtio device that Weir emulates, on a guest's virtual PCI bus (virtio 1.2, 4.1). Its
 * operations say what it is for.
 *
 * Everything that the guest says is checked: addresses by each access, indices against the queue's
 * size. If something is wrong, DEVICE_NEEDS_RESET is set, and the device does nothing until its
 * driver resets it.
 *
 *	vvirtiopci.c     its config space, and where its BAR is
 *	vvirtioregs.c    its registers, which are in that BAR
 *	vvirtioqueue.c   its split queues
 *	vvirtioirq.c     its interrupts
 */
#pragma once

#include <kernel/core/spinlock.h>
#include <kernel/guest/devices/pci/msixregs.h>
#include <kernel/lib/compiler.h>

struct domain;
struct vvirtio;

#define VVIRTIO_QUEUES 2u
#define VVIRTIO_QUEUE_SIZE 128u
#define VVIRTIO_VECTORS (VVIRTIO_QUEUES + 1)

/* All are called with the device's lock held. */
struct vvirtio_ops {
	u16 id; /* virtio device id */
	u32 class; /* PCI class code, without the revision */
	u32 config_size; /* bytes of the device's configuration, at most 256 */
	u64 features;
	/* What the driver sees at a byte of the configuration, or has written there. */
	u8 (*config_read)(struct vvirtio *dev, u32 offset);
	void (*config_write)(struct vvirtio *dev, u32 offset, u8 value);
	/* `nr` bytes at gpa are the next ones of a buffer that the driver has put into this queue;
	 * nr is not 0. A bounded step:
	 * STEP_MORE: *done of them are dealt with; if that is 0, call again;
	 * STEP_WAIT: none is; call again when the domain is woken;
	 * or a negative error: the driver is wrong. */
	int (*consume)(struct vvirtio *dev, u32 queue, u64 gpa, u64 nr, u64 *done);
};

struct vvirtio_queue {
	u16 size, vector;
	bool enabled;
	u64 desc, driver, device; /* guest-physical addresses of its three parts */
	u16 taken, used; /* how far in the available and in the used ring; they wrap at 2^16 */
	/* The chain that is being processed */
	bool busy;
	u16 head, at, left; /* left: how many descriptors it may still have */
	u64 offset; /* in descriptor `at` */
};

struct vvirtio {
	const struct vvirtio_ops *ops;
	struct domain *domain;
	struct spinlock lock; /* guards all below; after the bus's lock, before nested.lock */

	u16 command;
	u8 interrupt_line;
	u32 bar;
	bool mapped;
	u32 mapped_at;
	struct msix_control msix;
	struct {
		struct msix_entry entry;
		bool pending;
	} vector[VVIRTIO_VECTORS];

	u32 device_feature_select, driver_feature_select;
	u64 driver_features;
	u16 config_vector, queue_select;
	u8 status, generation;
	struct vvirtio_queue queue[VVIRTIO_QUEUES];
};

/* Zeroed memory becomes a device of d's bus. */
void vvirtio_init(struct vvirtio *dev, struct domain *d, const struct vvirtio_ops *ops);
/* As after power-on: for a domain that restarts. No vCPU runs. */
void vvirtio_power_on(struct vvirtio *dev);
/* The driver resets the device (2.4). The device is locked. */
void vvirtio_reset(struct vvirtio *dev);
/* A driver has set it up, and it works. The device is locked. */
bool vvirtio_is_driven(const struct vvirtio *dev);
/* The configuration has changed: tell the driver. The device is locked. */
void vvirtio_config_changed(struct vvirtio *dev);
/* The driver is wrong: do nothing until it resets the device (2.1.2). The device is locked. */
void vvirtio_needs_reset(struct vvirtio *dev);
