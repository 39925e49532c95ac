/* A split virtqueue (virtio 1.2, 2.7): the driver's side of three rings in memory. It knows nothing
 * of PCI or of networks. Not locked: one CPU, no interrupt handler calls it. What the device writes
 * is not trusted: a wrong index or identity marks the queue as broken, and nothing is taken from it
 * any more. */
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

/* All three lie on one page each; the device is told their addresses. */
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
	u16 next[VIRTQUEUE_MAX]; /* of a free descriptor, or of one in a chain; what is in memory
				    the device could change */
	u16 avail_next, used_next; /* free running */
	bool broken;
	struct {
		void *token;
		u16 length; /* descriptors of the chain that begins here; 0: none begins here */
	} chain[VIRTQUEUE_MAX];
};

struct virtqueue_buffer {
	const void *data;
	u32 length;
};

/* Make it empty, with `size` descriptors. */
void virtqueue_init(struct virtqueue *q, struct virtqueue_memory *memory, u16 size);
/* Offer a chain of n buffers, n > 0, for the device to read, or to write if device_writes. The
 * token is returned with it. False if there are not so many descriptors free. */
bool __must_check virtqueue_add(struct virtqueue *q, const struct virtqueue_buffer *buffer, u32 n,
				bool device_writes, void *token);
/* Let the device see what was added. True: it wants to be notified. */
bool __must_check virtqueue_publish(struct virtqueue *q);
/* The next chain that the device is done with, and how many bytes it says it wrote. False if there
 * is none. */
bool virtqueue_take(struct virtqueue *q, void **token, u32 *length);
/* The token of a chain that the device still has, which it then has no more: for a device that was
 * reset. NULL if there is none. */
void *virtqueue_drop(struct virtqueue *q);
/* Ask for interrupts, or for none, which is only a hint. True if something can be taken that may
 * not raise one any more. */
bool virtqueue_interrupts(struct virtqueue *q, bool on);
