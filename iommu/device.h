/* The record of a device that belongs to a domain, as the files of iommu/ see it. The picture of
 * its states is in iommu/device.c. */
#pragma once

#include <iommu/devicetlb.h>
#include <iommu/domain.h>
#include <iommu/quarantine.h>

enum device_state {
	DEVICE_FREE, /* the record is not in use */
	DEVICE_CLAIMED,
	DEVICE_FIRST_FLUSH,
	DEVICE_ATTACHED,
	/* From here on the device is stopped, and its context entry is not present. */
	DEVICE_STOPPED,
	DEVICE_LAST_FLUSH,
	DEVICE_TLB_PENDING,
	DEVICE_ISOLATED,
	DEVICE_UNMAPPING,
};

enum device_event {
	EVENT_CLAIM, /* a domain takes the record for a device */
	EVENT_MAP_FAILED, /* the device's reserved memory could not be mapped */
	EVENT_ENTRY_FAILED, /* its context entry could not be set */
	EVENT_ENTRY_SET,
	EVENT_QUARANTINE, /* it misbehaved */
	EVENT_DETACH, /* its owner wants it back; device->detached is set */
	EVENT_FLUSHED, /* device->flush has completed */
	EVENT_TLB_ANSWERED, /* no invalidation of its own TLB is outstanding */
	EVENT_UNMAPPED, /* its reserved memory is unmapped */
};

struct device {
	enum device_state state; /* only device_transition() changes it */
	struct pci_id dev;
	struct iommu_domain *domain;
	struct iommu_unit *unit;
	struct iommu_request flush; /* of the context cache and the IOTLB */
	struct device_tlb tlb;
	struct work unmap_work; /* unmaps the reserved memory */
	struct batch_waiter waiter; /* of unmap_work */
	void (*detached)(void *arg); /* NULL: nobody has asked for the device */
	void *detached_arg;
	struct fault_rate faults;
};

/* What a transition leaves to be called when the locks are released. */
struct device_calls {
	struct iommu_domain *domain;
	u16 batches; /* bit i: answer domain->batch[i] */
	void (*detached)(void *arg); /* NULL: nothing */
	void *detached_arg;
};

/* Guards the records. Taken before a domain's lock, which guards what a commit sees of a device. */
extern struct spinlock devices_lock;

/* The record of dev, or NULL if no domain has it. devices_lock is held. */
struct device *device_find(struct pci_id dev);
/* The record of index i, below MAX_DEVICES, or NULL if it is not in use. devices_lock is held. */
struct device *device_at(u32 i);
/* Take a record for dev, which is behind u, and count it in d. -EBUSY: a domain has dev; -EAGAIN:
 * what an attaching that failed had mapped for dev is not gone yet; -ENOSPC. No lock held. */
int __must_check device_claim(struct iommu_domain *d, struct pci_id dev, struct iommu_unit *u,
			      struct device **out);
/* The event happened to v: change its state, and do what the new state requires. devices_lock and
 * the domain's lock are held. */
void device_transition(struct device *v, enum device_event event, struct device_calls *calls);
/* Make the calls. Any context, no lock held. */
void device_make_calls(const struct device_calls *calls);

/* True if v is stopped and its entry is cleared: it loses its access to memory, or has lost it. */
static inline bool device_is_stopped(const struct device *v)
{
	return v->state >= DEVICE_STOPPED;
}

/* True if v is on its way back to being free: it is being detached, or could not be attached. */
static inline bool device_is_leaving(const struct device *v)
{
	return v->detached || v->state == DEVICE_UNMAPPING;
}
