/* An interrupt of a PCI device in a guest's hands: from the message that the guest wrote to the
 * guest's vector.
 *
 *	guest writes            Weir                                  the device holds
 *	address, data    ->     the route: vCPU and vector
 *	(vmsi.c, vmsix.c)       host vector on a CPU, whose handler
 *	                        makes the route's vector pending
 *	                        remapping entry: this device only ->  a message that names the entry
 *
 * The guest's own address and data never reach the device. The host vector and the remapping entry
 * are made when the interrupt is first unmasked, and stay until the device is taken away: to mask
 * and to re-route, Weir changes only the route and the device's mask bit.
 */
#pragma once

#include <iommu/iommu.h>
#include <kernel/guest/devices/pci/msixregs.h>
#include <kernel/lib/compiler.h>

struct domain;
struct vfunction;

/* MSI's only interrupt, or one of MSI-X. */
struct virq {
	struct vfunction *function;
	u32 index; /* in the MSI-X table */
	struct msix_entry message; /* as the guest wrote it; that of MSI is never masked */
	/* 0, or VALID | vCPU << 8 | vector. The handler reads it without a lock. */
	u32 route;
	bool allocated; /* it has a host vector and a remapping entry */
	u32 host_cpu;
	int host_vector;
	struct iommu_irte irte;
};

/* Bring the route in line with what the guest wrote; `enabled`: in the capability. True if the
 * device may send the message that iommu_irte_message() gives. The bus is locked. */
bool virq_update(struct virq *q, bool enabled);
/* It came: make its vector pending. False: it has no route. Any context. */
bool virq_deliver(const struct virq *q);
/* Block it. If it was in use, the function is held (assign_hold()) until it cannot come any more.
 * The function is off the bus, which is not locked. */
void virq_remove(struct virq *q);

/* An emulated device sends the message that its guest wrote. False: it means no interrupt that a
 * vCPU could take. Any context. */
bool virq_send(const struct domain *d, u64 address, u32 data);
