/* A unit's invalidation queue (VT-d 6.5.2).
 *
 * A request is a few invalidation descriptors and a function to call when they have been carried
 * out. It lies in its owner's memory; nothing is allocated. Completion comes by interrupt.
 */
#pragma once

#include <iommu/regs.h>
#include <kernel/list.h>
#include <kernel/spinlock.h>

struct iommu_unit;

#define REQUEST_MAX_DESCS 2

struct iommu_request {
	struct list link;
	struct qi_desc desc[REQUEST_MAX_DESCS];
	u32 nr; /* descriptors in use */
	u32 sequence; /* what the status word says when it is done */
	u32 slots; /* ring entries it takes */
	/* Interrupt context, no lock held; the request may be submitted again from there. */
	void (*done)(struct iommu_request *r);
};

struct iommu_queue {
	struct spinlock lock; /* guards all below; leaf but for the hardware */
	struct qi_desc *ring;
	u32 tail, used; /* next free entry; entries of requests that are not known to be done */
	u32 sequence; /* of the last request that was posted */
	volatile u32 *status; /* the unit writes the sequence number of each request that is done */
	struct list posted; /* in the order of the ring */
	struct list waiting; /* for room in the ring */
	u64 interrupts;
};

/* Switch queued invalidation on. Boot. -ENOMEM, -ENOSPC (vectors), -EIO (the unit does not
 * answer). */
int __must_check queue_init(struct iommu_unit *u);
/* Post r, or let it wait for room. Any context; the caller does not touch r before done(). */
void queue_submit(struct iommu_unit *u, struct iommu_request *r);
/* Boot, one request at a time: submit r and sleep until it is done. -ETIMEDOUT: the unit does not
 * answer. */
int __must_check queue_submit_and_sleep(struct iommu_unit *u, struct iommu_request *r);
/* FSTS.IQE, ICE or ITE is set: say so, recover (6.5.2.10). Interrupt context. */
void queue_error(struct iommu_unit *u, u32 fsts);

/* Descriptors. */
struct qi_desc qi_context_global(void);
struct qi_desc qi_context_device(u16 did, u16 sid);
struct qi_desc qi_iotlb_global(const struct iommu_unit *u);
struct qi_desc qi_iotlb_domain(const struct iommu_unit *u, u16 did);
/* 1 << am frames from dfn, which is aligned to that; leaf_only: the paging-structure caches may
 * stay (IH = 1). */
struct qi_desc qi_iotlb_pages(const struct iommu_unit *u, u16 did, u64 dfn, u32 am, bool leaf_only);
struct qi_desc qi_iec_index(u16 index);
struct qi_desc qi_iec_global(void);
