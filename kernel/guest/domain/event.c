/* Events of domains. See event.h. */
#include <kernel/guest/domain/event.h>

#include <iommu/iommu.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/lib/errno.h>

static void raise(struct domain *d)
{
	u32 vector = read_once(&d->event_vector);

	/* Nobody can have chosen a vector before the first vCPU exists. */
	if (vector)
		vlapic_deliver(d->vm.vcpu[0], (u8)vector);
}

void domain_event(struct domain *d, u32 events)
{
	/* Set the bits first, so that a vector chosen meanwhile finds them. */
	(void)atomic_or(&d->events, events);
	raise(d);
}

void domain_event_to_control(u32 events)
{
	struct domain *d = domain_get_control();

	if (!d)
		return;
	domain_event(d, events);
	domain_put(d);
}

int domain_set_event_vector(struct domain *d, u64 vector)
{
	if (vector > 255 || (vector && vector < 16))
		return -EINVAL;
	(void)atomic_xchg(&d->event_vector, (u32)vector);
	if (read_once(&d->events))
		raise(d);
	return 0;
}

u32 domain_take_events(struct domain *d)
{
	return atomic_xchg(&d->events, 0);
}

static void device_event(u16 owner, struct pci_id dev __unused, enum iommu_event event)
{
	struct domain *d = event == IOMMU_EVENT_QUARANTINED ? domain_get(owner) : NULL;

	if (!d)
		return;
	domain_event(d, WEIR_EVENT_QUARANTINED);
	domain_put(d);
}

void event_init(void)
{
	iommu_set_event_hook(device_event);
}
