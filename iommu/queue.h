/* A unit's invalidation queue (VT-d 6.5.2).
 *
 * A request is a few invalidation descriptors and a function to call when they have been carried
 * out. It lies in its owner's memory; nothing is allocated. Completion comes by interrupt.
 */
#pragma once

#include <iommu/regs.h>
#include <kernel/lib/list.h>
#include <kernel/core/spinlock.h>

struct iommu_unit;

#define REQUEST_MAX_DESCS 2

struct iommu_request {
	struct list link;
	struct qi_desc desc[REQUEST_MAX_DESCS];
	u32 nr; /* descriptors in use */
	u32 sequence; /* what the status word says when it is done */
	u32 slot, slots; /* where it is in the ring, and the entries it takes */
	bool device_tlb; /* its one invalidation is a device's to answer */
	bool failed; /* set before done(): the device has not answered, or the unit does not take the descriptor */
	/* Interrupt context or deferred work, no lock held; the request may be submitted again from there. */
	void (*done)(struct iommu_request *r);
};

struct iommu_queue {
	struct spinlock lock; /* guards all below; leaf but for the hardware */
	struct qi_desc *ring;
	u32 tail, used; /* next free entry; entries of requests that are not known to be done */
	u32 sequence; /* of the last request that was posted */
	paddr_t status_address;
	volatile u32 *status; /* the unit writes the sequence number of each request that is done */
	struct list posted; /* in the order of the ring */
	struct list waiting; /* for room in the ring */
	/* After an error: entries that were posted anew behind, and are free when the status word says stale_until. */
	u32 stale, stale_until;
	u32 bad_slot; /* where the last IQE was; RING_ENTRIES: there was none since anything was done */
	bool stuck; /* the unit takes its commands no more */
	u32 nr_waiting;
	u64 nr_posted, completed, interrupts, errors;
};

/* Switch queued invalidation on. Boot. -ENOMEM, -ENOSPC (vectors), -EIO (the unit does not
 * answer). */
int __must_check queue_init(struct iommu_unit *u);
/* Post r, or let it wait for room. Any context; the caller does not touch r before done(). */
void queue_submit(struct iommu_unit *u, struct iommu_request *r);
/* Boot, one request at a time: submit r and sleep until it is done. -ETIMEDOUT: the unit does not
 * answer; its queue is not used any more, and r is the caller's again. */
int __must_check queue_submit_and_sleep(struct iommu_unit *u, struct iommu_request *r);
/* FSTS.IQE, ICE or ITE is set: find the culprit, cut it off, go on (6.5.2.10). Deferred work, no lock held. */
void queue_error(struct iommu_unit *u, u32 fsts);

/* Descriptors. */
struct qi_desc qi_context_global(void);
struct qi_desc qi_context_device(u16 did, u16 sid);
struct qi_desc qi_iotlb_global(const struct iommu_unit *u);
struct qi_desc qi_iotlb_domain(const struct iommu_unit *u, u16 did);
/* 1 << am frames from dfn, which is aligned to that; leaf_only: the paging-structure caches may
 * stay (IH = 1). */
struct qi_desc qi_iotlb_pages(const struct iommu_unit *u, u16 did, u64 dfn, u32 am, bool leaf_only);
/* A device's own TLB; [first, last] in frames is rounded up to what the descriptor can say. depth: how many the device can
 * have in its queue, 1 to 32. */
struct qi_desc qi_device_tlb(const struct iommu_unit *u, u16 sid, u32 depth, u64 first, u64 last);
struct qi_desc qi_iec_index(u16 index);
struct qi_desc qi_iec_global(void);
