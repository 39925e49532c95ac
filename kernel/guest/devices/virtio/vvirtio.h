/* A virtio device that Weir makes, on a guest's virtual PCI bus (virtio 1.2, 4.1): its config space, its registers, its split
 * queues and its MSI-X. What it is for, its operations say. Everything that the guest says is checked: addresses by each
 * access, indices against the queue's size; what is wrong sets DEVICE_NEEDS_RESET, and nothing more happens until the reset. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/core/spinlock.h>

struct domain;
struct vcpu;
struct vvirtio;

#define VVIRTIO_SLOT 31u /* on the bus; no other function gets there */
#define VVIRTIO_QUEUES 2u
#define VVIRTIO_QUEUE_SIZE 128u
#define VVIRTIO_VECTORS (VVIRTIO_QUEUES + 1)

struct vvirtio_ops {
	u16 id; /* virtio device id */
	u32 class; /* PCI class code, without the revision */
	u32 config_size; /* bytes of the device's configuration, at most 256 */
	u64 features;
	/* What the driver sees at, or has written to, a byte of the configuration. Locked. */
	u8 (*config_read)(struct vvirtio *dev, u32 offset);
	void (*config_write)(struct vvirtio *dev, u32 offset, u8 value);
	/* `nr` bytes at gpa are the next ones of a buffer that the driver has put into this queue. How many of them are dealt
	 * with (not 0); -EAGAIN: call again after the domain's wake; -ENOMEM: call again. Bounded. Locked. */
	s64 (*take)(struct vvirtio *dev, u32 queue, u64 gpa, u64 nr);
	/* The driver has reset the device. Locked. */
	void (*reset)(struct vvirtio *dev);
};

struct vvirtio_queue {
	u16 size, vector;
	bool enabled;
	u64 desc, driver, device;
	u16 taken, used; /* of the available and of the used ring, counted on */
	/* The chain that is under way */
	bool busy;
	u16 head, at, left; /* left: descriptors that it may still have */
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
	bool msix_enabled, msix_masked;
	struct {
		u64 address;
		u32 data;
		bool masked, pending;
	} vector[VVIRTIO_VECTORS];

	u32 device_feature_select, driver_feature_select;
	u64 driver_features;
	u16 config_vector, queue_select;
	u8 status, generation;
	struct vvirtio_queue queue[VVIRTIO_QUEUES];
};

/* Zeroed memory becomes a device of d's bus. */
void vvirtio_init(struct vvirtio *dev, struct domain *d, const struct vvirtio_ops *ops);
/* As after power-on: for a domain that starts again. No vCPU runs. */
void vvirtio_power_on(struct vvirtio *dev);
/* A dword of its config space; mask says which bits are written. Bus locked. */
u32 vvirtio_config_read(struct vvirtio *dev, u8 offset);
void vvirtio_config_write(struct vvirtio *dev, u8 offset, u32 value, u32 mask);
/* A driver has set it up. Locked. */
bool vvirtio_is_driven(const struct vvirtio *dev);
/* The configuration is not what it was: tell the driver. Locked. */
void vvirtio_config_changed(struct vvirtio *dev);
