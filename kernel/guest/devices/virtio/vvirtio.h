/* A virtio device that Weir emulates on a guest's virtual PCI bus (virtio 1.2, 4.1). Its operations
 * (struct vvirtio_ops) make it a particular device.
 *
 * Everything that the guest provides is checked: addresses at each access, indices against the
 * queue's size. If something is wrong, DEVICE_NEEDS_RESET is set, and the device does nothing until
 * its driver resets it.
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

/* All functions are called with the device's lock held. */
struct vvirtio_ops {
	u16 id; /* virtio device id */
	u32 class; /* PCI class code, without the revision */
	u32 config_size; /* bytes of the device's configuration, at most 256 */
	u64 features;
	/* The driver reads or writes a byte of the configuration. */
	u8 (*config_read)(struct vvirtio *dev, u32 offset);
	void (*config_write)(struct vvirtio *dev, u32 offset, u8 value);
	/* Process the next `nr` bytes, at gpa, of a buffer in this queue; nr is not 0. Takes one
	 * bounded step. STEP_MORE: *done bytes were processed, which may be 0. STEP_WAIT: none was;
	 * call again when the domain is woken. A negative error: the driver did something wrong. */
	int (*consume)(struct vvirtio *dev, u32 queue, u64 gpa, u64 nr, u64 *done);
};

struct vvirtio_queue {
	u16 size, vector;
	bool enabled;
	u64 desc, driver, device; /* guest-physical addresses of its three parts */
	u16 taken, used; /* positions in the available and the used ring; they wrap at 2^16 */
	/* The descriptor chain in progress */
	bool busy;
	u16 head, at, left; /* left: how many more descriptors it may have */
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

/* Initialise a device on d's bus. *dev is zeroed. */
void vvirtio_init(struct vvirtio *dev, struct domain *d, const struct vvirtio_ops *ops);
/* Reset to the state after power-on, for a domain that restarts. None of its vCPUs runs. */
void vvirtio_power_on(struct vvirtio *dev);
/* The driver resets the device (2.4). The device is locked. */
void vvirtio_reset(struct vvirtio *dev);
/* True if a driver has set up the device, and it does not need a reset. The device is locked. */
bool vvirtio_is_driven(const struct vvirtio *dev);
/* The configuration has changed: notify the driver. The device is locked. */
void vvirtio_config_changed(struct vvirtio *dev);
/* The driver did something wrong: do nothing until it resets the device (2.1.2). The device is
 * locked. */
void vvirtio_needs_reset(struct vvirtio *dev);
