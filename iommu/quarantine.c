/* Devices that misbehave: failed invalidations of their TLBs, and floods of faults. Such a device
 * is quarantined: stopped and blocked (iommu/device.c) until it is detached. */
#include <iommu/quarantine.h>

#include <drivers/pcidma.h>
#include <iommu/context.h>
#include <iommu/device.h>
#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>
#include <kernel/mm/frame.h>

/* More faults than this in a second are a flood. */
#define FLOOD_FAULTS 1000
#define FLOOD_WINDOW_NS 1000000000UL

static void (*event_hook)(u16 owner, struct pci_id dev, enum iommu_event event);

void iommu_set_event_hook(void (*hook)(u16 owner, struct pci_id dev, enum iommu_event event))
{
	event_hook = hook;
}

static void call_event_hook(u16 owner, struct pci_id dev, enum iommu_event event)
{
	if (event_hook)
		event_hook(owner, dev, event);
}

/* True if the device was not quarantined before. One that is just being attached is still blocked:
 * if it goes on, it is quarantined later. */
static bool quarantine(struct device *v, const char *why)
{
	struct iommu_domain *d = v->domain;
	struct device_calls none = { .domain = d };
	bool first, before = device_is_stopped(v);
	char name[16];

	assert_locked(&devices_lock);
	spin_lock(&d->lock);
	device_transition(v, EVENT_QUARANTINE, &none);
	first = !before && device_is_stopped(v);
	d->counters.devices_quarantined += first;
	spin_unlock(&d->lock);
	if (first)
		log_err("iommu: device %s of %s: %s: quarantined until it is detached",
			pci_name(v->dev, name), d->name, why);
	return first;
}

bool quarantine_requester(struct iommu_unit *u, u16 bdf, const char *why)
{
	struct pci_id dev = { u->segment, bdf };
	u16 owner = OWNER_NONE;
	struct device *v;
	bool first = false;

	spin_lock(&devices_lock);
	v = device_find(dev);
	if (v) {
		owner = v->domain->owner;
		first = quarantine(v, why);
	}
	spin_unlock(&devices_lock);
	if (first)
		call_event_hook(owner, dev, IOMMU_EVENT_QUARANTINED);
	return owner != OWNER_NONE;
}

static bool needed_and_gone(struct device *v)
{
	bool gone;

	spin_lock(&v->domain->lock);
	gone = device_tlb_is_gone(v);
	spin_unlock(&v->domain->lock);
	return gone;
}

/* Quarantine the devices behind u; with `only`, those of which it is true. */
static void quarantine_behind(struct iommu_unit *u, bool (*only)(struct device *v), const char *why)
{
	for (u32 i = 0; i < MAX_DEVICES; i++) {
		u16 owner = OWNER_NONE;
		struct pci_id dev = { 0 };
		struct device *v;
		bool first = false;

		spin_lock(&devices_lock);
		v = device_at(i);
		if (v && v->unit == u && (!only || only(v))) {
			dev = v->dev;
			owner = v->domain->owner;
			first = quarantine(v, why);
		}
		spin_unlock(&devices_lock);
		if (first)
			call_event_hook(owner, dev, IOMMU_EVENT_QUARANTINED);
	}
}

void quarantine_all(struct iommu_unit *u, const char *why)
{
	quarantine_behind(u, NULL, why);
}

void quarantine_gone(struct iommu_unit *u)
{
	quarantine_behind(u, needed_and_gone, "its link is dead, it reads as all ones");
}

/* --- faults --------------------------------------------------------------- */

/* One more fault. */
static bool is_flood(struct fault_rate *rate)
{
	u64 now = clock_ns();

	if (now - rate->window_start > FLOOD_WINDOW_NS) {
		rate->window_start = now;
		rate->faults = 0;
	}
	return ++rate->faults > FLOOD_FAULTS;
}

static void entry_flushed(struct iommu_request *r)
{
	store_release(&r->nr, 0u);
}

/* A fault of a device that no domain has. Such devices are counted together: the one whose fault
 * exceeds the limit is very likely the one that floods, and a lost report of another does no harm.
 * The device is blocked already; from now on its faults are not recorded. */
static void count_unassigned_fault(struct pci_id dev)
{
	static struct iommu_request requests[DMAR_MAX_UNITS];
	static struct fault_rate unassigned;
	static struct log_limit limit = LOG_LIMIT_INIT(1);
	struct iommu_unit *u = iommu_unit_of(dev);
	char name[16];

	assert_locked(&devices_lock);
	if (!is_flood(&unassigned) || !u)
		return;
	unassigned.faults = 0;
	pci_stop(dev);
	if (!context_clear(u, dev.bdf, true))
		return;
	/* Its entry may be cached as it was, under domain id 0 (6.1). If a flush is outstanding,
	 * the next thousand faults try again. */
	if (iommu_common.caching_mode && !load_acquire(&requests[u->index].nr)) {
		struct iommu_request *r = &requests[u->index];

		list_init(&r->link);
		r->desc[0] = qi_context_device(0, dev.bdf);
		r->nr = 1;
		r->done = entry_flushed;
		queue_submit(u, r);
	}
	if (log_allowed(&limit))
		log_err("iommu: device %s of no domain: floods Weir with faults: they are not "
			"recorded until it is attached",
			pci_name(dev, name));
}

u16 quarantine_count_fault(struct pci_id dev, enum weir_fault_kind kind, char *name, size_t size)
{
	u16 owner = OWNER_NONE;
	struct device *v;
	bool first = false;

	copy_string(name, "no domain", size);
	spin_lock(&devices_lock);
	v = device_find(dev);
	if (v) {
		owner = v->domain->owner;
		copy_string(name, v->domain->name, size);
		(void)atomic_add(&v->domain->counters.io_faults, 1);
		(void)atomic_add(&v->domain->counters.io_faults_by[kind], 1);
		first = is_flood(&v->faults) && quarantine(v, "floods Weir with faults");
	}
	if (!v || device_is_leaving(v))
		count_unassigned_fault(dev);
	spin_unlock(&devices_lock);
	call_event_hook(owner, dev, first ? IOMMU_EVENT_QUARANTINED : IOMMU_EVENT_FAULT);
	return owner;
}
