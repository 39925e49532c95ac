/* A unit's invalidation queue (VT-d 6.5.2). The picture of the ring is in iommu/queue.c.
 *
 * A request is a few invalidation descriptors and a function to call when they have been carried
 * out. It lies in its owner's memory; nothing is allocated. Completion comes by interrupt.
 */
#pragma once

#include <iommu/descriptor.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/list.h>

struct iommu_unit;

#define REQUEST_MAX_DESCS 2
#define RING_ENTRIES 256u /* IQA.QS = 0: one page */

struct iommu_request {
	struct list link;
	struct qi_desc desc[REQUEST_MAX_DESCS];
	u32 nr; /* descriptors in use */
	u32 sequence; /* the value of the status word when the request is done */
	u32 slot, slots; /* where it is in the ring, and how many entries it takes */
	bool device_tlb; /* its one invalidation is for a device to answer */
	/* Set before done(): the device has not answered, or the unit does not take the
	 * descriptor. */
	bool failed;
	/* Interrupt context or deferred work, no lock held. It may submit the request again. */
	void (*done)(struct iommu_request *r);
};

struct iommu_queue {
	struct spinlock lock; /* guards all below; innermost, but for that of iommu/late.c */
	struct qi_desc *ring;
	u32 tail, used; /* next free entry; entries of requests that are not known to be done */
	u32 sequence; /* of the last request that was posted */
	paddr_t status_address;
	volatile u32 *status; /* the unit writes the sequence number of each request that is done */
	struct list posted; /* in the order of the ring */
	struct list waiting; /* for room in the ring */
	/* After an error: entries whose requests were posted again behind them. They are free
	 * when the status word says stale_until. */
	u32 stale, stale_until;
	u32 bad_slot; /* where the last IQE was; RING_ENTRIES: none since a request completed */
	bool stuck; /* the unit does not take descriptors any more */
	u32 nr_waiting;
	u64 nr_posted, completed, interrupts, errors;
};

/* Set up the queue and switch queued invalidation on. Boot. -ENOMEM, -ENOSPC (vectors), -EIO (the
 * unit does not answer). */
int __must_check queue_init(struct iommu_unit *u);
/* Post r, or let it wait for room. Any context; the caller does not touch r before done(). */
void queue_submit(struct iommu_unit *u, struct iommu_request *r);
/* Boot, one request at a time: submit r and sleep until it is done. -ETIMEDOUT: the unit does not
 * answer; its queue is not used any more, and r is the caller's again. */
int __must_check queue_submit_and_sleep(struct iommu_unit *u, struct iommu_request *r);
/* Call done() of all requests that are done. Interrupt context or deferred work, no lock held. */
void queue_finish_done(struct iommu_unit *u);

/* --- for iommu/queueerror.c; the queue's lock is held --------------------- */

/* True if the request with this number is done. Needs no lock. */
bool queue_is_done(const struct iommu_queue *q, u32 sequence);
/* The entry that the unit takes next. Needs no lock. */
u32 queue_head(struct iommu_unit *u);
/* The request that has this entry of the ring, or NULL. */
struct iommu_request *queue_request_at(struct iommu_queue *q, u32 slot);
/* What the i-th of r's entries in the ring says. */
struct qi_desc queue_entry_of(const struct iommu_queue *q, const struct iommu_request *r, u32 i);
/* Move what is posted and not done to the front of `waiting`, except culprit, which is unlinked. */
void queue_take_back(struct iommu_unit *u, const struct iommu_request *culprit);
/* Post what waits, as far as there is room, with one write of IQT. */
void queue_post_waiting(struct iommu_unit *u);
