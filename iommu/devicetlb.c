/* The invalidation of devices' own TLBs (ATS, VT-d 4.2, 6.5.2.5).
 *
 * A device TLB is invalidated by one request at a time. So no device's queue depth is ever
 * exceeded, and a time-out has one culprit. While a request is outstanding, further commits widen
 * the next one; which batches wait for which request is one bit per batch.
 *
 * A request follows the IOTLB's in the same queue, behind a fence: the device cannot refill its TLB
 * from entries that are being flushed.
 *
 * A stopped device (iommu/device.c) gets no more requests. The batches that wait for it are
 * answered when it is isolated: what its TLB still holds is of no use to it then.
 *
 * A device whose link is dead would not answer, and the unit's queue would stand until the unit
 * gives up, at the cost of all who have devices behind it. So it is looked at before each request,
 * and again when it has not answered for a while and somebody is held up. If it is gone it is
 * quarantined, by the unit's fault_work, since that needs devices_lock.
 */
#include <iommu/devicetlb.h>

#include <drivers/pci.h>
#include <drivers/pcidma.h>
#include <iommu/commit.h>
#include <iommu/device.h>
#include <iommu/trace.h>
#include <kernel/core/clock.h>
#include <kernel/lib/atomic.h>

#define LOOK_AFTER_NS 1000000UL

/* A virtual function has no vendor id: its physical one tells. */
static bool is_gone(const struct device *v)
{
	struct pci_id dev = pci_physical(v->dev);

	return !pci_exists(dev.segment, dev.bdf);
}

static void post_invalidation(struct device *v)
{
	struct device_tlb *t = &v->tlb;

	assert_locked(&v->domain->lock);
	if (is_gone(v)) {
		work_queue(&v->unit->fault_work);
		return;
	}
	t->posted = clock_ns();
	t->flushing = t->next;
	t->next = 0;
	t->request.desc[0] = qi_device_tlb(v->unit, t->ids, t->depth, t->first, t->last);
	t->request.nr = 1;
	trace(WEIR_TRACE_DEVICE_TLB, v->domain->owner, v->dev.bdf, t->first, t->last);
	t->first = ~0UL;
	t->last = 0;
	v->domain->counters.device_tlb_invalidations++;
	v->domain->counters.invalidations_posted++;
	queue_submit(v->unit, &t->request);
}

/* The device has answered, or its request has failed. Interrupt context or deferred work. */
static void tlb_answered(struct iommu_request *r)
{
	struct device *v = container_of(r, struct device, tlb.request);
	struct iommu_domain *d = v->domain;
	struct device_tlb *t = &v->tlb;
	struct device_calls calls = { .domain = d };

	spin_lock(&devices_lock);
	spin_lock(&d->lock);
	domain_count_completed(d, r->nr);
	if (r->failed) {
		/* It may still have the translations: the batches wait for its isolation. */
		t->next |= t->flushing;
		device_transition(v, EVENT_QUARANTINE, &calls);
	} else {
		calls.batches = t->flushing;
	}
	t->flushing = 0;
	device_transition(v, EVENT_TLB_ANSWERED, &calls);
	if (t->next && !device_is_stopped(v))
		post_invalidation(v);
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
	device_make_calls(&calls);
}

void device_flush_tlbs(struct iommu_domain *d, struct iommu_batch *b, dfn_t first, dfn_t last)
{
	struct device *v;

	assert_locked(&d->lock);
	list_for_each(v, &d->device_tlbs, tlb.link) {
		struct device_tlb *t = &v->tlb;

		t->next |= (u16)BIT(b->number % BATCHES_PER_DOMAIN);
		t->first = MIN(t->first, first);
		t->last = MAX(t->last, last);
		(void)atomic_add(&b->pending, 1);
		/* For a stopped device, its isolation is the answer. */
		if (!t->flushing && !device_is_stopped(v))
			post_invalidation(v);
	}
}

bool device_tlb_is_gone(struct device *v)
{
	struct device_tlb *t = &v->tlb;

	assert_locked(&v->domain->lock);
	if (list_empty(&t->link) || device_is_stopped(v))
		return false;
	if (t->flushing ? clock_ns() - t->posted < LOOK_AFTER_NS : !t->next)
		return false;
	if (is_gone(v))
		return true;
	/* It has come back before anybody has looked. */
	if (!t->flushing)
		post_invalidation(v);
	return false;
}

void device_tlb_init(struct device_tlb *t)
{
	list_init(&t->request.link);
	list_init(&t->link);
	t->request.done = tlb_answered;
	t->request.device_tlb = true;
	t->first = ~0UL;
}

void device_tlb_add(struct device *v)
{
	struct pci_id physical = pci_physical(v->dev);

	assert_locked(&v->domain->lock);
	/* Virtual functions share the queue of their physical one, whose capability tells its depth
	 * (PCI Express Base 5.0, 10.5.1.1). */
	v->tlb.depth = pci_ats_depth(physical);
	if (!v->tlb.depth)
		v->tlb.depth = pci_ats_depth(v->dev);
	v->tlb.ids = (struct qi_device_ids){ v->dev.bdf, physical.bdf };
	list_add_tail(&v->domain->device_tlbs, &v->tlb.link);
}

void device_tlb_remove(struct device *v)
{
	assert_locked(&v->domain->lock);
	list_del(&v->tlb.link);
}

/* Batches that are in flight wait for the new device too: what they flush may still be in the
 * IOTLB, and the device may get it from there. */
static void join_batches(struct device *v)
{
	struct device_tlb *t = &v->tlb;

	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++) {
		struct iommu_batch *b = v->domain->batch[i];

		if (b->state == BATCH_POSTED && commit_join(b))
			t->next |= (u16)BIT(i);
	}
	if (!t->next)
		return;
	t->first = 0;
	t->last = iommu_common.limit - 1;
	post_invalidation(v);
}

void device_tlb_enable(struct device *v)
{
	assert_locked(&v->domain->lock);
	pci_ats_enable(v->dev);
	join_batches(v);
}

u16 device_tlb_retire(struct device *v)
{
	u16 batches = v->tlb.next;

	assert_locked(&v->domain->lock);
	v->tlb.next = 0;
	list_del(&v->tlb.link);
	return batches;
}
