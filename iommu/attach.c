/* Giving devices to domains, and taking them back. How far a device is: iommu/device.c. */
#include <drivers/pci.h>
#include <drivers/pcidma.h>
#include <iommu/context.h>
#include <iommu/device.h>
#include <iommu/iommu.h>
#include <iommu/reserved.h>
#include <iommu/trace.h>
#include <kernel/core/panic.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>

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

/* Point the device's context entry to the domain's tables. */
static int set_entry(struct device *v, bool ats)
{
	struct iommu_domain *d = v->domain;
	int ret;

	assert_locked(&d->lock);
	/* It may have died since. Those who stop its devices hold devices_lock. */
	if (!read_once(&v->unit->works))
		return -ENODEV;
	/* Like the unit, the device's TLB is flushed by every commit from before its entry is
	 * present. */
	if (ats)
		device_tlb_add(v);
	ret = context_set(v->unit, v->dev.bdf, d, ats);
	if (ret) {
		if (ats)
			device_tlb_remove(v);
		return ret;
	}
	/* Not before the entry allows it: until then its translation requests would be faults. */
	if (ats)
		device_tlb_enable(v);
	return 0;
}

int iommu_attach(struct iommu_domain *d, struct pci_id dev, u32 flags)
{
	struct iommu_unit *u = iommu_unit_of(dev);
	struct device_calls calls = { .domain = d };
	enum device_event event = EVENT_MAP_FAILED;
	struct device *v;
	int ret;

	if (!u || !d->root || ((flags & IOMMU_ATS) && iommu_why_no_ats(dev)))
		return -ENODEV;
	ret = device_claim(d, dev, u, &v);
	if (ret)
		return ret;
	spin_lock(&d->lock);
	ret = domain_suits(d, u) ? 0 : -ENODEV;
	spin_unlock(&d->lock);
	if (!ret)
		ret = reserved_map(d, dev);
	spin_lock(&devices_lock);
	spin_lock(&d->lock);
	if (!ret) {
		ret = set_entry(v, flags & IOMMU_ATS);
		event = ret ? EVENT_ENTRY_FAILED : EVENT_ENTRY_SET;
	}
	device_transition(v, event, &calls);
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
	if (!ret)
		trace_always(WEIR_TRACE_ATTACH, d->owner, dev.bdf, flags, u->index);
	return ret;
}

void iommu_detach(struct pci_id dev, void (*done)(void *arg), void *arg)
{
	struct device_calls calls = { 0 };
	struct iommu_domain *d;
	struct device *v;

	spin_lock(&devices_lock);
	v = device_find(dev);
	BUG_ON(!v || v->state == DEVICE_CLAIMED || device_is_leaving(v));
	d = v->domain;
	calls.domain = d;
	spin_lock(&d->lock);
	v->detached = done;
	v->detached_arg = arg;
	device_transition(v, EVENT_DETACH, &calls);
	spin_unlock(&d->lock);
	spin_unlock(&devices_lock);
	device_make_calls(&calls);
}
