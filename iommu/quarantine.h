/* Devices that misbehave: the faults they raise are counted, and they lose their access to
 * memory. */
#pragma once

#include <iommu/unit.h>
#include <kernel/abi/hypercall.h>

/* Faults in a window of one second. */
struct fault_rate {
	u64 window_start; /* ns */
	u32 faults; /* since then */
};

/* A unit has named this requester id for an invalidation that failed: quarantine the device. False
 * if no domain has it. Deferred work, no lock held. */
bool quarantine_requester(struct iommu_unit *u, u16 bdf, const char *why);
/* Quarantine all devices behind u. Deferred work, no lock held. */
void quarantine_all(struct iommu_unit *u, const char *why);
/* Quarantine the devices behind u whose link is dead, and who hold up others. Deferred work, no
 * lock held. */
void quarantine_gone(struct iommu_unit *u);
/* Count a fault of dev, and quarantine dev if it raises too many. If no domain has dev, its faults
 * are no longer recorded then. Returns the owner or OWNER_NONE, and the owner's name for the
 * message. Deferred work, no lock held. */
u16 quarantine_count_fault(struct pci_id dev, enum weir_fault_kind kind, char *name, size_t size);
