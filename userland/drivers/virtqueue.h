/* The driver's side of a split virtqueue (virtio 1.2, 2.7). Independent of PCI and of networks.
 * There are no locks: there is one CPU, and no interrupt handler calls this. The device is not
 * trusted: after a wrong index or identity the queue is marked as broken, and nothing is taken from
 * it any more. */
#pragma once

#include <kernel/lib/compiler.h>

#define VIRTQUEUE_MAX 256u

struct vring_desc {
	u64 address;
	u32 length;
	u16 flags, next;
};
#define VRING_DESC_NEXT 1u
#define VRING_DESC_WRITE 2u /* by the device */

struct vring_avail {
	u16 flags, index;
	u16 ring[VIRTQUEUE_MAX];
};
#define VRING_AVAIL_NO_INTERRUPT 1u

struct vring_used {
	u16 flags, index;
	struct {
		u32 id, length;
	} ring[VIRTQUEUE_MAX];
};
#define VRING_USED_NO_NOTIFY 1u

/* Each of the three starts on a page of its own. The device gets their addresses. */
struct virtqueue_memory {
	struct vring_desc desc[VIRTQUEUE_MAX] __aligned(4096);
	struct vring_avail avail __aligned(4096);
	struct vring_used used __aligned(4096);
};

struct virtqueue {
	struct virtqueue_memory *memory;
	u16 size; /* a power of two */
	u16 free; /* descriptors */
	u16 free_head;
	/* The descriptor after each one, in the free list or in a chain. Not read from the
	 * descriptors, which the device could change. */
	u16 next[VIRTQUEUE_MAX];
	u16 avail_next, used_next; /* free running */
	bool broken;
	struct {
		void *token;
		u16 length; /* descriptors of the chain that starts here; 0: none does */
	} chain[VIRTQUEUE_MAX];
};

struct virtqueue_buffer {
	const void *data;
	u32 length;
};

/* Initialize it, empty, with `size` descriptors. */
void virtqueue_init(struct virtqueue *q, struct virtqueue_memory *memory, u16 size);
/* Add a chain of n > 0 buffers for the device to read, or to write if device_writes. The token
 * comes back with the chain. False if there are fewer than n free descriptors. */
bool __must_check virtqueue_add(struct virtqueue *q, const struct virtqueue_buffer *buffer, u32 n,
				bool device_writes, void *token);
/* Make added chains visible to the device. True: it must be notified. */
bool __must_check virtqueue_publish(struct virtqueue *q);
/* Take the next chain that the device has finished: its token, and the number of bytes that the
 * device claims to have written. False if there is none. */
bool virtqueue_take(struct virtqueue *q, void **token, u32 *length);
/* For a device that was reset: take a chain that it had not finished and return its token; NULL if
 * there is none. */
void *virtqueue_drop(struct virtqueue *q);
/* Enable interrupts, or disable them, which is only a hint. True if a chain is ready that may not
 * raise one. */
bool virtqueue_interrupts(struct virtqueue *q, bool on);
