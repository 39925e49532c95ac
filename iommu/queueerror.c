/* Errors of the invalidation queue (VT-d 6.5.2.10), reported by the fault event.
 *
 * ITE, a time-out: a device did not answer its device-TLB invalidation. The unit aborts the waits
 * that are pending, and takes no more descriptors until ITE is cleared. Newer units name the
 * device (IQERCD); otherwise it is the one whose descriptor was taken last, since each request
 * ends in a fence. That request fails. All others that are not done are posted again at the tail,
 * in order and with new numbers. So it does not matter which of their waits were aborted, and
 * doing an invalidation twice is harmless. Of the entries that they had, those that the unit has
 * not taken are stale until it is past them.
 *
 * IQE, a descriptor that the unit does not take: a device-TLB invalidation is replaced by a flush
 * of the IOTLB, its request fails, and the device is quarantined. Any other descriptor is written
 * again, since something has damaged it. If the unit stops a second time at the same entry, with
 * no request completed in between, its queue is dead: nothing is posted any more, and pages that
 * the unit's devices can reach are never freed. The unit finds its queue empty, so that IQE can be
 * cleared: while it is set, no fault raises an interrupt.
 *
 * ICE, an answer to an invalidation that nobody requested: the device is quarantined.
 */
#include <iommu/queueerror.h>

#include <iommu/hw.h>
#include <iommu/quarantine.h>
#include <iommu/trace.h>
#include <iommu/unit.h>
#include <kernel/core/log.h>
#include <kernel/mm/frame.h>

/* The requester id of the device that did not answer: the one that the unit names, or else the
 * one whose descriptor it took last. Fences let it get no further than the two waits behind that.
 * 0: none found. */
static u16 silent_device(struct iommu_unit *u)
{
	u16 sid = (u16)FIELD_GET(IQERCD_ITESID, hw_read64(u->regs, IQERCD_REG));
	u32 head = queue_head(u);

	assert_locked(&u->queue.lock);
	for (u32 i = 1; !sid && i <= 3; i++) {
		const struct qi_desc *d = &u->queue.ring[(head + RING_ENTRIES - i) % RING_ENTRIES];

		if ((d->lo & QI_TYPE) == QI_TYPE_DEVICE_TLB)
			sid = (u16)FIELD_GET(QI_DEVICE_TLB_SID, d->lo);
	}
	return sid;
}

/* The request that timed out. NULL: it has failed before, and the unit met an old copy of it. */
static struct iommu_request *find_timed_out(struct iommu_queue *q, u16 sid)
{
	struct iommu_request *r;

	assert_locked(&q->lock);
	list_for_each(r, &q->posted, link)
		if (r->device_tlb && !queue_is_done(q, r->sequence) &&
		    FIELD_GET(QI_DEVICE_TLB_SID, r->desc[0].lo) == sid)
			return r;
	return NULL;
}

static void recover_time_out(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	struct iommu_request *culprit;
	u16 sid;

	spin_lock(&q->lock);
	sid = silent_device(u);
	culprit = find_timed_out(q, sid);
	queue_take_back(u, culprit);
	hw_write32(u->regs, FSTS_REG, FSTS_ITE);
	queue_post_waiting(u);
	spin_unlock(&q->lock);
	if (!sid || !quarantine_requester(u, sid, "does not answer invalidations of its TLB"))
		log_err("iommu: unit %u: an invalidation timed out "
			"for an unassigned device",
			u->index);
	if (!culprit)
		return;
	culprit->failed = true;
	culprit->done(culprit);
}

/* The unit has stopped at a descriptor that it does not take. */
static void recover_bad_descriptor(struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	struct iommu_request *r;
	struct qi_desc bad, *at;
	bool device_tlb = false;
	static const char again[] = " again: its queue is dead; "
				    "pages its devices can reach are never freed";
	u32 slot;

	spin_lock(&q->lock);
	slot = queue_head(u);
	at = &q->ring[slot];
	bad = *at;
	r = queue_request_at(q, slot);
	q->stuck = slot == q->bad_slot;
	q->bad_slot = slot;
	if (r && r->device_tlb && slot == r->slot) {
		r->failed = device_tlb = true;
		*at = qi_iotlb_global();
	} else {
		*at = r ? queue_entry_of(q, r, (slot + RING_ENTRIES - r->slot) % RING_ENTRIES) :
			  qi_iotlb_global();
	}
	unit_write_back(u, at, sizeof(*at));
	if (q->stuck)
		hw_write64(u->regs, IQT_REG, slot * sizeof(struct qi_desc));
	hw_write32(u->regs, FSTS_REG, FSTS_IQE);
	if (!q->stuck)
		hw_write64(u->regs, IQT_REG, q->tail * sizeof(struct qi_desc));
	spin_unlock(&q->lock);
	log_err("iommu: unit %u rejects the invalidation descriptor %016lx %016lx (IQERCD %lx)%s",
		u->index, bad.lo, bad.hi, hw_read64(u->regs, IQERCD_REG), q->stuck ? again : "");
	if (device_tlb)
		(void)quarantine_requester(u, (u16)FIELD_GET(QI_DEVICE_TLB_SID, bad.lo),
					   "the unit cannot invalidate its TLB");
}

void queue_error(struct iommu_unit *u, u32 fsts)
{
	const char *why = "answered an invalidation nobody requested";

	u->queue.errors++;
	trace_always(WEIR_TRACE_ERROR, OWNER_NONE, (u16)u->index, fsts,
		     hw_read64(u->regs, IQERCD_REG));
	if (fsts & FSTS_IQE)
		recover_bad_descriptor(u);
	if (fsts & FSTS_ICE) {
		u16 sid = (u16)FIELD_GET(IQERCD_ICESID, hw_read64(u->regs, IQERCD_REG));

		hw_write32(u->regs, FSTS_REG, FSTS_ICE);
		if (!sid || !quarantine_requester(u, sid, why))
			log_err("iommu: unit %u: an answer to an invalidation nobody requested",
				u->index);
	}
	if (fsts & FSTS_ITE)
		recover_time_out(u);
	queue_finish_done(u);
}
