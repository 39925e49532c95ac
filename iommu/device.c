/* Devices that domains have: attached, flushed, cut off, detached.
 *
 *	          attach                     quarantine (faults, time-outs)
 *	free -------------->  attached  -------------------------------.
 *	  ^                      |                                     v
 *	  |                      | detach                          isolating ----> isolated
 *	  |                      v            the device is off,       |  its context entry and IOTLB entries
 *	  '----------------  isolating        its entry cleared,       |  are gone: what waited for it is released
 *	     detached                         the flush posted         '-- detach: as on the left
 *
 * The last flush (context cache, then the domain's IOTLB) is what makes a device harmless: after it neither its requests
 * nor translations that it keeps in a TLB of its own can pass, since the unit checks the context entry for both.
 *
 * A device TLB (ATS) is flushed by one request at a time, so no device's queue depth is ever exceeded, and a time-out
 * has one culprit. While it is under way further commits widen the next one; who waits for which is one bit a batch. Its
 * request follows the IOTLB's in the same queue, behind a fence: the device can not refill from what is being flushed.
 */
#include <iommu/device.h>

#include <drivers/pci.h>
#include <iommu/context.h>
#include <iommu/release.h>
#include <iommu/reserved.h>
#include <iommu/table.h>
#include <iommu/trace.h>
#include <kernel/lib/atomic.h>
#include <kernel/core/clock.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/lib/string.h>

#define MAX_DEVICES 64

/* More faults than this in a second, and the device is cut off. */
#define FLOOD_FAULTS 1000
#define FLOOD_WINDOW_NS 1000000000UL

struct device_tlb {
	struct iommu_request request;
	struct list link; /* domain->device_tlbs */
	u16 flushing, next; /* the domain's batches that wait for the flush under way, and for the one after it */
	dfn_t first, last; /* what the next one must cover */
};
_Static_assert(BATCHES_PER_DOMAIN <= 16, "a bit a batch");

struct flood {
	u64 window_start;
	u32 faults; /* since then */
};

struct device {
	struct iommu_request request; /* context cache and IOTLB */
	struct pci_id dev;
	struct iommu_domain *domain; /* NULL: free */
	struct iommu_unit *unit;
	bool ats;
	struct device_tlb tlb;
	bool started; /* its context entry is there, or was: before, there is nothing to cut off */
	bool flushing; /* request is under way */
	bool isolating, last_flush, isolated;
	bool reserved; /* its reserved memory is mapped */
	struct work leaver; /* unmaps that */
	void (*detached)(void *arg); /* NULL: nobody asked */
	void *arg;
	struct flood flood;
};

/* Guards the table; before a domain's lock, which guards what a commit sees of a device. */
static struct spinlock devices_lock = SPINLOCK_INIT(LOCK_DEVICES);
static struct device devices[MAX_DEVICES];

static void (*event_hook)(u16 owner, struct pci_id dev, enum iommu_event event);

void iommu_set_event_hook(void (*hook)(u16 owner, struct pci_id dev, enum iommu_event event))
{
	event_hook = hook;
}

static bool same(struct pci_id a, struct pci_id b)
{
	return a.segment == b.segment && a.bdf == b.bdf;
}

/* The device's record, or a free one if there is none and `make`. Locked. */
static struct device *find(struct pci_id dev, bool make)
{
	struct device *free = NULL;

	for (u32 i = 0; i < MAX_DEVICES; i++) {
		struct device *a = &devices[i];

		if (a->domain && same(a->dev, dev))
			return a;
		if (!a->domain && !free)
			free = a;
	}
	return make ? free : NULL;
}

enum iommu_device_state iommu_device_state(struct pci_id dev)
{
	enum iommu_device_state state = IOMMU_DEVICE_FREE;
	const struct device *a;

	spin_lock(&devices_lock);
	a = find(dev, false);
	if (a)
		state = a->detached  ? IOMMU_DEVICE_DETACHING :
			a->isolating ? IOMMU_DEVICE_QUARANTINED :
				       IOMMU_DEVICE_ATTACHED;
	spin_unlock(&devices_lock);
	return state;
}

/* --- device TLBs --------------------------------------------------------------------------------------------------------- */

static void post_tlb_flush(struct device *a)
{
	struct device_tlb *t = &a->tlb;

	t->flushing = t->next;
	t->next = 0;
	t->request.desc[0] = qi_device_tlb(a->unit, a->dev.bdf, pci_ats_depth(a->dev), t->first,
					   t->last);
	t->request.nr = 1;
	trace(WEIR_TRACE_DEVICE_TLB, a->domain->owner, a->dev.bdf, t->first, t->last);
	t->first = ~0UL;
	t->last = 0;
	a->domain->counters.device_tlb_invalidations++;
	a->domain->counters.invalidations_posted++;
	queue_submit(a->unit, &t->request);
}

void device_flush_tlbs(struct iommu_domain *d, struct iommu_batch *b, dfn_t first, dfn_t last)
{
	struct device *a;

	list_for_each(a, &d->device_tlbs, tlb.link) {
		struct device_tlb *t = &a->tlb;

		t->next |= (u16)BIT(b->number % BATCHES_PER_DOMAIN);
		t->first = MIN(t->first, first);
		t->last = MAX(t->last, last);
		(void)atomic_add(&b->pending, 1);
		/* One that is being isolated answers when that is done. */
		if (!t->flushing && !a->isolating)
			post_tlb_flush(a);
	}
}

/* Batches that are in flight wait for the device too, though it is new: what they flush may be in the IOTLB still, and it may
 * get it from there. Locked. */
static void join_batches(struct device *a)
{
	struct device_tlb *t = &a->tlb;

	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++) {
		struct iommu_batch *b = a->domain->batch[i];

		if (b->state == BATCH_POSTED && release_join(b))
			t->next |= (u16)BIT(i);
	}
	if (!t->next)
		return;
	t->first = 0;
	t->last = iommu_common.limit - 1;
	post_tlb_flush(a);
}

static void answer(struct iommu_domain *d, u16 batches)
{
	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++)
		if (batches & BIT(i))
			iommu_batch_answer(d->batch[i]);
}

static bool finish_isolation(struct device *a, u16 *batches);
static void isolate(struct device *a);

/* Interrupt context or deferred work. */
static void tlb_flushed(struct iommu_request *r)
{
	struct device *a = container_of(r, struct device, tlb.request);
	struct iommu_domain *d = a->domain;
	struct device_tlb *t = &a->tlb;
	void (*detached)(void *arg) = NULL;
	void *arg;
	u16 batches;

	spin_lock(&devices_lock);
	spin_lock(&d->lock);
	d->counters.invalidations_completed++;
	arg = a->arg;
	batches = t->flushing;
	t->flushing = 0;
	if (r->failed) {
		/* The device may still have it: they wait for its isolation. */
		t->next |= batches;
		batches = 0;
		isolate(a);
	}
	if (a->isolating) {
		if (finish_isolation(a, &batches))
			detached = a->detached;
	} else if (t->next) {
		post_tlb_flush(a);
	}
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
	answer(d, batches);
	if (detached)
		detached(arg);
}

/* --- attached, isolated ------------------------------------------------------------------------------------------------------ */

/* What the unit may have cached of the device. The IOTLB's part is the whole domain's: it is not tagged with the
 * device. Both locks are held. */
static void flush(struct device *a, u16 context_did)
{
	struct iommu_domain *d = a->domain;

	a->flushing = true;
	a->request.desc[0] = qi_context_device(context_did, a->dev.bdf);
	a->request.desc[1] = qi_iotlb_domain(a->unit, d->did);
	a->request.nr = 2;
	d->counters.context_invalidations++;
	d->counters.iotlb_invalidations++;
	d->counters.invalidations_posted += 2;
	queue_submit(a->unit, &a->request);
}

static void post_last_flush(struct device *a)
{
	a->last_flush = true;
	flush(a, a->domain->did);
}

/* Stop the device, clear its entry, flush. Both locks are held. */
static void isolate(struct device *a)
{
	if (a->isolating)
		return;
	a->isolating = true;
	trace(WEIR_TRACE_ISOLATE, a->domain->owner, a->dev.bdf, a->detached != NULL, 0);
	pci_stop(a->dev);
	(void)context_clear(a->unit, a->dev.bdf, !a->detached);
	/* The flush of its attaching may still be under way: then flushed() posts the last one. */
	if (!a->flushing)
		post_last_flush(a);
}

/* Both locks are held. */
static void forget(struct device *a)
{
	a->domain->devices_on[a->unit->index]--;
	a->unit->devices--;
	a->domain = NULL;
}

/* The device is isolated: what the firmware keeps for it goes out of the domain's tables as well. */
static enum step leave_step(struct work *w)
{
	struct device *a = container_of(w, struct device, leaver);
	void (*detached)(void *arg) = a->detached;
	struct iommu_domain *d = a->domain;
	void *arg = a->arg;

	if (reserved_unmap(d, a->dev))
		return STEP_MORE; /* no batch or no memory just now */
	work_forget(w);
	spin_lock(&devices_lock);
	spin_lock(&d->lock);
	forget(a);
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
	detached(arg);
	return STEP_DONE;
}

/* If all that can come has come: the batches that waited for the device need not any more. True: it was detached, and
 * the record is free. Both locks are held. */
static bool finish_isolation(struct device *a, u16 *batches)
{
	if (!a->isolated || a->tlb.flushing)
		return false;
	*batches |= a->tlb.next;
	a->tlb.next = 0;
	if (a->ats) {
		list_del(&a->tlb.link);
		a->ats = false;
	}
	if (!a->detached)
		return false;
	if (a->reserved) {
		work_queue(&a->leaver);
		return false;
	}
	forget(a);
	return true;
}

/* Interrupt context or deferred work. */
static void flushed(struct iommu_request *r)
{
	struct device *a = container_of(r, struct device, request);
	struct iommu_domain *d = a->domain;
	void (*detached)(void *arg) = NULL;
	void *arg;
	u16 batches = 0;

	spin_lock(&devices_lock);
	spin_lock(&d->lock);
	d->counters.invalidations_completed += 2;
	a->flushing = false;
	arg = a->arg;
	if (a->isolating && !a->last_flush) {
		post_last_flush(a);
	} else if (a->isolating) {
		a->isolated = true;
		trace(WEIR_TRACE_ISOLATED, d->owner, a->dev.bdf, a->detached != NULL, 0);
		if (finish_isolation(a, &batches))
			detached = a->detached;
	}
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
	answer(d, batches);
	if (detached)
		detached(arg);
}

static int start(struct device *a, bool ats)
{
	struct iommu_domain *d = a->domain;
	struct iommu_unit *u = a->unit;
	int ret;

	list_init(&a->request.link);
	a->request.done = flushed;
	list_init(&a->tlb.request.link);
	a->tlb.request.done = tlb_flushed;
	a->tlb.request.device_tlb = true;
	a->tlb.first = ~0UL;

	/* As the unit, the device is flushed by every commit from before its entry is present. */
	if (ats) {
		a->ats = true;
		list_add_tail(&d->device_tlbs, &a->tlb.link);
	}
	ret = context_set(u, a->dev.bdf, virt_to_phys(d->root), iommu_common.levels, d->did, ats);
	if (ret) {
		if (ats)
			list_del(&a->tlb.link);
		return ret;
	}
	a->started = true;
	/* Not before the entry allows it: until then its translation requests would be faults. */
	if (ats) {
		pci_ats_enable(a->dev);
		join_batches(a);
	}
	/* The entry may be cached as not present, under domain id 0 (6.1). */
	if (iommu_common.caching_mode)
		flush(a, 0);
	return 0;
}

const char *iommu_why_no_ats(struct pci_id dev)
{
	const struct iommu_unit *u = iommu_unit_of(dev);

	if (!u)
		return "no remapping unit that works covers it";
	if (!pci_ats_depth(dev))
		return "it has no ATS capability";
	if (!(u->ecap & ECAP_DT))
		return "its remapping unit does not support device TLBs (ECAP.DT)";
	if (!dmar_ats_allowed(&iommu_dmar, pci_physical(dev)))
		return "the firmware does not allow ATS on its root port (ATSR)";
	return NULL;
}

static void nobody_waits(void *arg __unused)
{
}

/* Take a record for dev. */
static int claim(struct iommu_domain *d, struct pci_id dev, struct iommu_unit *u, struct device **out)
{
	struct device *a;
	int ret = 0;

	spin_lock(&devices_lock);
	a = find(dev, true);
	if (!a) {
		log_err("iommu: the table of devices (MAX_DEVICES = %u) is full", MAX_DEVICES);
		ret = -ENOSPC;
	} else if (a->domain) {
		ret = a->detached == nobody_waits ? -EAGAIN : -EBUSY;
	} else {
		*a = (struct device){ .dev = dev, .domain = d, .unit = u };
		work_init(&a->leaver, leave_step);
		/* Counted before the entry is present: from then on every commit flushes the unit. */
		spin_lock(&d->lock);
		d->devices_on[u->index]++;
		spin_unlock(&d->lock);
		u->devices++;
	}
	spin_unlock(&devices_lock);
	*out = a;
	return ret;
}

/* An attaching that failed: the record goes, at once or after what was mapped for the device. */
static void give_up(struct device *a)
{
	struct iommu_domain *d = a->domain;

	spin_lock(&devices_lock);
	if (a->reserved) {
		a->detached = nobody_waits;
		spin_unlock(&devices_lock);
		work_queue(&a->leaver);
		return;
	}
	spin_lock(&d->lock);
	forget(a);
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
}

int iommu_attach(struct iommu_domain *d, struct pci_id dev, u32 flags)
{
	struct iommu_unit *u = iommu_unit_of(dev);
	struct device *a;
	int ret;

	if (!u || !d->root || ((flags & IOMMU_ATS) && iommu_why_no_ats(dev)))
		return -ENODEV;
	ret = claim(d, dev, u, &a);
	if (ret)
		return ret;
	ret = reserved_map(d, dev);
	if (!ret) {
		a->reserved = dmar_reserved_of(&iommu_dmar, dev);
		spin_lock(&devices_lock);
		spin_lock(&d->lock);
		ret = start(a, flags & IOMMU_ATS);
		spin_unlock(&d->lock);
		spin_unlock(&devices_lock);
	}
	if (ret)
		give_up(a);
	else
		trace(WEIR_TRACE_ATTACH, d->owner, dev.bdf, flags, u->index);
	return ret;
}

void iommu_detach(struct pci_id dev, void (*done)(void *arg), void *arg)
{
	struct iommu_domain *d;
	struct device *a;
	bool gone;
	u16 batches = 0;

	spin_lock(&devices_lock);
	a = find(dev, false);
	BUG_ON(!a || a->detached);
	d = a->domain;
	a->detached = done;
	a->arg = arg;
	spin_lock(&d->lock);
	isolate(a);
	gone = finish_isolation(a, &batches);
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
	answer(d, batches);
	if (gone)
		done(arg);
}

/* --- misbehaviour ----------------------------------------------------------------------------------------------------------- */

/* devices_lock is held. True if it was not cut off before. One that is just being attached is blocked still: if it goes on like
 * that, its turn comes. */
static bool quarantine(struct device *a, const char *why)
{
	struct iommu_domain *d = a->domain;
	bool first = !a->isolating;

	if (!a->started)
		return false;
	spin_lock(&d->lock);
	isolate(a);
	d->counters.devices_quarantined += first;
	spin_unlock(&d->lock);
	if (first)
		log_err("iommu: device %02x:%02x.%u of %s: %s: it is cut off until it is detached",
			a->dev.bdf >> 8, a->dev.bdf >> 3 & 31, a->dev.bdf & 7, d->name, why);
	return first;
}

static void tell(u16 owner, struct pci_id dev, enum iommu_event event)
{
	if (event_hook)
		event_hook(owner, dev, event);
}

bool device_blame(struct iommu_unit *u, u16 bdf, const char *what)
{
	struct pci_id dev = { u->segment, bdf };
	u16 owner = OWNER_NONE;
	struct device *a;
	bool first = false;

	spin_lock(&devices_lock);
	a = find(dev, false);
	if (a) {
		owner = a->domain->owner;
		first = quarantine(a, what);
	}
	spin_unlock(&devices_lock);
	if (first)
		tell(owner, dev, IOMMU_EVENT_CUT_OFF);
	return owner != OWNER_NONE;
}

/* One fault more. */
static bool is_flood(struct flood *f)
{
	u64 now = clock_ns();

	if (now - f->window_start > FLOOD_WINDOW_NS) {
		f->window_start = now;
		f->faults = 0;
	}
	return ++f->faults > FLOOD_FAULTS;
}

static void quiet_now(struct iommu_request *r)
{
	store_release(&r->nr, 0u);
}

/* A fault of a device that no domain has. They are counted together: which of them goes beyond the limit is with all likelihood
 * one that floods, and a report of another is no loss. It is blocked already; now that is not recorded any more. devices_lock
 * is held. */
static void count_strays_fault(struct pci_id dev)
{
	static struct iommu_request requests[DMAR_MAX_UNITS];
	static struct flood strays;
	static struct log_limit limit = LOG_LIMIT_INIT(1);
	struct iommu_unit *u = iommu_unit_of(dev);

	if (!is_flood(&strays) || !u)
		return;
	strays.faults = 0;
	pci_stop(dev);
	if (!context_clear(u, dev.bdf, true))
		return;
	/* Its entry may be cached as it was, under domain id 0 (6.1). If a flush is under way, the next thousand faults ask again. */
	if (iommu_common.caching_mode && !load_acquire(&requests[u->index].nr)) {
		struct iommu_request *r = &requests[u->index];

		list_init(&r->link);
		r->desc[0] = qi_context_device(0, dev.bdf);
		r->nr = 1;
		r->done = quiet_now;
		queue_submit(u, r);
	}
	if (log_allowed(&limit))
		log_err("iommu: device %02x:%02x.%u of nobody: it floods Weir with faults: they are not recorded until it is attached",
			dev.bdf >> 8, dev.bdf >> 3 & 31, dev.bdf & 7);
}

static enum weir_fault_kind fault_kind(u32 reason)
{
	switch (reason) {
	case 0x5:
		return WEIR_FAULT_WRITE;
	case 0x6:
		return WEIR_FAULT_READ;
	case 0x1 ... 0x3:
	case 0x8 ... 0xb:
	case 0xd:
		return WEIR_FAULT_CONTEXT;
	case 0x4:
		return WEIR_FAULT_WIDTH;
	case 0x7:
	case 0xc:
		return WEIR_FAULT_TABLE;
	case 0x20 ... 0x2f:
		return WEIR_FAULT_INTERRUPT;
	default:
		return WEIR_FAULT_OTHER;
	}
}

u16 device_count_fault(struct pci_id dev, u32 reason, char *name, size_t size)
{
	u16 owner = OWNER_NONE;
	struct device *a;
	bool cut_off = false;

	copy_string(name, "nobody", size);
	spin_lock(&devices_lock);
	a = find(dev, false);
	if (a) {
		owner = a->domain->owner;
		copy_string(name, a->domain->name, size);
		(void)atomic_add(&a->domain->counters.io_faults, 1);
		(void)atomic_add(&a->domain->counters.io_faults_by[fault_kind(reason)], 1);
		cut_off = is_flood(&a->flood) && quarantine(a, "it floods Weir with faults");
	}
	if (!a || a->detached)
		count_strays_fault(dev);
	spin_unlock(&devices_lock);
	tell(owner, dev, cut_off ? IOMMU_EVENT_CUT_OFF : IOMMU_EVENT_FAULT);
	return owner;
}
