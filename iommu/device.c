/* The devices that domains have: their records, and the states of a device.
 *
 *	            FREE
 *	             |  claim
 *	             v
 *	          CLAIMED ----------------- map or entry failed --------------------------.
 *	             |  entry set                                                         |
 *	             |-----------------.                                                  |
 *	             |   caching mode  v                                                  |
 *	             |            FIRST_FLUSH ----------.                                 |
 *	             v   flushed       |                |  quarantine, detach             |
 *	          ATTACHED <-----------'                v                                 |
 *	             |                               STOPPED                              |
 *	             |  quarantine, detach              |                                 |
 *	             v                         flushed  |                                 |
 *	         LAST_FLUSH <---------------------------'                                 |
 *	             |  flushed                                                           |
 *	             |-----------------.                                                  |
 *	             |                 v  an invalidation of its own TLB is outstanding   |
 *	             |            TLB_PENDING                                             |
 *	             v  TLB answered   |                                                  |
 *	         ISOLATED <------------'                                                  |
 *	             |  detach, now or before                                             |
 *	             |-----------------.                                                  |
 *	             |                 v  its reserved memory is mapped                   |
 *	             |             UNMAPPING <--------------------------------------------|
 *	             v  unmapped       |                                                  |
 *	            FREE <-------------'<-------------------------------------------------'
 *
 * What holds in each state:
 *
 *	FREE         the record is not in use
 *	CLAIMED      the domain's commits flush the device's unit; the context entry is not present,
 *	             and never was; its reserved memory is being mapped
 *	FIRST_FLUSH  the entry is present; `flush` is outstanding: the entry may be cached as not
 *	             present (caching mode, 6.1)
 *	ATTACHED     the entry is present; `flush` is not outstanding
 *	STOPPED      bus mastering and ATS are off, the entry is not present; the first `flush` is
 *	             still outstanding, and was posted too early to count as the last one
 *	LAST_FLUSH   the same, but `flush` was posted after the entry was cleared
 *	TLB_PENDING  the device can reach nothing, but it has not answered an invalidation of its
 *	             own TLB: `tlb.request` is still in the queue
 *	ISOLATED     the device can reach nothing, no request of it is outstanding, no batch waits
 *	             for it; a quarantined device stays here until it is detached
 *	UNMAPPING    as ISOLATED, and unmap_work is queued or waits for a batch; or attaching has
 *	             failed, and the entry was never present
 *
 * A device that is detached before it is ISOLATED runs through the same states: `detached` is set,
 * and it does not stay there.
 *
 * The last flush (context cache, then the domain's IOTLB entries) is what makes a device harmless:
 * after it neither its requests nor translations that it keeps in a TLB of its own can pass, since
 * the unit checks the context entry for both.
 */
#include <iommu/device.h>

#include <drivers/pcidma.h>
#include <iommu/context.h>
#include <iommu/reserved.h>
#include <iommu/trace.h>
#include <kernel/core/log.h>
#include <kernel/lib/errno.h>

struct spinlock devices_lock = SPINLOCK_INIT(LOCK_DEVICES);
static struct device devices[MAX_DEVICES];

/* --- the records ---------------------------------------------------------- */

struct device *device_find(struct pci_id dev)
{
	assert_locked(&devices_lock);
	for (u32 i = 0; i < MAX_DEVICES; i++) {
		struct device *v = &devices[i];

		if (v->state == DEVICE_FREE)
			continue;
		if (v->dev.segment == dev.segment && v->dev.bdf == dev.bdf)
			return v;
	}
	return NULL;
}

enum iommu_device_state iommu_device_state(struct pci_id dev)
{
	enum iommu_device_state state = IOMMU_DEVICE_FREE;
	const struct device *v;

	spin_lock(&devices_lock);
	v = device_find(dev);
	if (v)
		state = device_is_leaving(v) ? IOMMU_DEVICE_DETACHING :
			device_is_stopped(v) ? IOMMU_DEVICE_QUARANTINED :
					       IOMMU_DEVICE_ATTACHED;
	spin_unlock(&devices_lock);
	return state;
}

/* --- the states ----------------------------------------------------------- */

static enum device_state unmapping_or_free(const struct device *v)
{
	return dmar_reserved_of(&iommu_dmar, v->dev) ? DEVICE_UNMAPPING : DEVICE_FREE;
}

/* The picture above, as a function. Events that mean nothing in a state leave it as it is. */
static enum device_state next_state(const struct device *v, enum device_event event)
{
	bool isolate = event == EVENT_QUARANTINE || event == EVENT_DETACH;

	switch (v->state) {
	case DEVICE_FREE:
		return event == EVENT_CLAIM ? DEVICE_CLAIMED : v->state;
	case DEVICE_CLAIMED:
		return event == EVENT_MAP_FAILED   ? DEVICE_FREE :
		       event == EVENT_ENTRY_FAILED ? unmapping_or_free(v) :
		       event != EVENT_ENTRY_SET	   ? v->state :
		       iommu_common.caching_mode   ? DEVICE_FIRST_FLUSH :
						     DEVICE_ATTACHED;
	case DEVICE_FIRST_FLUSH:
		return isolate		      ? DEVICE_STOPPED :
		       event == EVENT_FLUSHED ? DEVICE_ATTACHED :
						v->state;
	case DEVICE_ATTACHED:
		return isolate ? DEVICE_LAST_FLUSH : v->state;
	case DEVICE_STOPPED:
		return event == EVENT_FLUSHED ? DEVICE_LAST_FLUSH : v->state;
	case DEVICE_LAST_FLUSH:
		return event != EVENT_FLUSHED ? v->state :
		       v->tlb.flushing	      ? DEVICE_TLB_PENDING :
						DEVICE_ISOLATED;
	case DEVICE_TLB_PENDING:
		return event == EVENT_TLB_ANSWERED ? DEVICE_ISOLATED : v->state;
	case DEVICE_ISOLATED:
		return event == EVENT_DETACH ? unmapping_or_free(v) : v->state;
	case DEVICE_UNMAPPING:
		return event == EVENT_UNMAPPED ? DEVICE_FREE : v->state;
	}
	return v->state;
}

/* Invalidate what the unit may have cached of the device. Of the IOTLB that is the whole domain's
 * part, since entries are not tagged with the device. */
static void post_flush(struct device *v, u16 context_did)
{
	struct iommu_domain *d = v->domain;

	v->flush.desc[0] = qi_context_device(context_did, v->dev.bdf);
	v->flush.desc[1] = qi_iotlb_domain(v->unit, d->did);
	v->flush.nr = 2;
	d->counters.context_invalidations++;
	d->counters.iotlb_invalidations++;
	d->counters.invalidations_posted += 2;
	queue_submit(v->unit, &v->flush);
}

/* A quarantined device is blocked without fault records. */
static void stop_device(struct device *v)
{
	trace(WEIR_TRACE_ISOLATE, v->domain->owner, v->dev.bdf, v->detached != NULL, 0);
	pci_stop(v->dev);
	(void)context_clear(v->unit, v->dev.bdf, !v->detached);
}

static void free_record(struct device *v, struct device_calls *calls)
{
	v->domain->devices_on[v->unit->index]--;
	v->unit->devices--;
	calls->detached = v->detached;
	calls->detached_arg = v->detached_arg;
}

static void enter_state(struct device *v, enum device_state from, struct device_calls *calls)
{
	if (from < DEVICE_STOPPED && (v->state == DEVICE_STOPPED || v->state == DEVICE_LAST_FLUSH))
		stop_device(v);
	if (from == DEVICE_LAST_FLUSH)
		trace(WEIR_TRACE_ISOLATED, v->domain->owner, v->dev.bdf, v->detached != NULL, 0);
	switch (v->state) {
	case DEVICE_CLAIMED:
		/* Counted before the entry is present: from then on every commit flushes the
		 * unit. */
		v->domain->devices_on[v->unit->index]++;
		v->unit->devices++;
		break;
	case DEVICE_FIRST_FLUSH:
		/* The entry may be cached as not present, under domain id 0 (6.1). */
		post_flush(v, 0);
		break;
	case DEVICE_LAST_FLUSH:
		post_flush(v, v->domain->did);
		break;
	case DEVICE_ISOLATED:
		calls->batches |= device_tlb_retire(v);
		break;
	case DEVICE_UNMAPPING:
		work_queue(&v->unmap_work);
		break;
	case DEVICE_FREE:
		free_record(v, calls);
		break;
	case DEVICE_ATTACHED:
	case DEVICE_STOPPED:
	case DEVICE_TLB_PENDING:
		break;
	}
}

void device_transition(struct device *v, enum device_event event, struct device_calls *calls)
{
	enum device_state from = v->state;

	assert_locked(&devices_lock);
	assert_locked(&v->domain->lock);
	v->state = next_state(v, event);
	if (v->state == from)
		return;
	enter_state(v, from, calls);
	if (v->state == DEVICE_ISOLATED && v->detached)
		device_transition(v, EVENT_DETACH, calls);
}

void device_make_calls(const struct device_calls *calls)
{
	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++)
		if (calls->batches & BIT(i))
			iommu_batch_answer(calls->domain->batch[i]);
	if (calls->detached)
		calls->detached(calls->detached_arg);
}

/* --- what the states wait for --------------------------------------------- */

/* Interrupt context or deferred work. */
static void device_flushed(struct iommu_request *r)
{
	struct device *v = container_of(r, struct device, flush);
	struct iommu_domain *d = v->domain;
	struct device_calls calls = { .domain = d };

	spin_lock(&devices_lock);
	spin_lock(&d->lock);
	domain_count_completed(d, r->nr);
	device_transition(v, EVENT_FLUSHED, &calls);
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
	device_make_calls(&calls);
}

static enum step unmap_reserved_step(struct work *w)
{
	struct device *v = container_of(w, struct device, unmap_work);
	struct iommu_domain *d = v->domain;
	struct device_calls calls = { .domain = d };

	if (!reserved_unmap(d, v->dev, &v->waiter))
		return STEP_WAIT;
	work_forget(w);
	spin_lock(&devices_lock);
	spin_lock(&d->lock);
	device_transition(v, EVENT_UNMAPPED, &calls);
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
	device_make_calls(&calls);
	return STEP_DONE;
}

/* --- claiming ------------------------------------------------------------- */

static struct device *find_free_record(void)
{
	assert_locked(&devices_lock);
	for (u32 i = 0; i < MAX_DEVICES; i++)
		if (devices[i].state == DEVICE_FREE)
			return &devices[i];
	return NULL;
}

static void claim_record(struct device *v, struct iommu_domain *d, struct pci_id dev)
{
	struct device_calls none = { .domain = d };

	*v = (struct device){ .dev = dev, .domain = d, .unit = iommu_unit_of(dev) };
	list_init(&v->flush.link);
	v->flush.done = device_flushed;
	device_tlb_init(&v->tlb);
	work_init(&v->unmap_work, unmap_reserved_step);
	list_init(&v->waiter.link);
	v->waiter.work = &v->unmap_work;
	spin_lock(&d->lock);
	device_transition(v, EVENT_CLAIM, &none);
	spin_unlock(&d->lock);
}

int device_claim(struct iommu_domain *d, struct pci_id dev, struct device **out)
{
	struct device *v;
	int ret = 0;

	spin_lock(&devices_lock);
	v = device_find(dev);
	if (v) {
		ret = v->state == DEVICE_UNMAPPING && !v->detached ? -EAGAIN : -EBUSY;
	} else {
		v = find_free_record();
		if (v)
			claim_record(v, d, dev);
		else
			ret = -ENOSPC;
	}
	spin_unlock(&devices_lock);
	if (ret == -ENOSPC)
		log_err("iommu: the table of devices (MAX_DEVICES = %u) is full", MAX_DEVICES);
	*out = v;
	return ret;
}
