/* Interrupts of a guest's PCI devices: from the message that the guest wrote to the guest's vector.
 *
 *	guest writes            Weir                                  the device holds
 *	address, data    ->     the route: vCPU and vector
 *	(vmsi.c, vmsix.c)       host vector on a CPU, whose handler
 *	                        makes the route's vector pending
 *	                        remapping entry: this device only ->  a message that names the entry
 *
 * The address and data that the guest wrote never reach the device. The host vector and the
 * remapping entry are allocated when the interrupt is first unmasked, and stay until the device is
 * taken away. To mask or re-route it, Weir changes only the route and the device's mask bit.
 *
 * A message that arrives while the interrupt is masked, or its function is paused (irqstorm.h), is
 * latched: the guest sees its pending bit, and gets it once when it is unmasked. So nothing is lost
 * that was on its way when the guest masked.
 */
#pragma once

#include <iommu/iommu.h>
#include <kernel/guest/devices/pci/msixregs.h>
#include <kernel/lib/compiler.h>

struct domain;
struct vfunction;

/* The only interrupt of MSI, or one of MSI-X. */
struct virq {
	struct vfunction *function;
	u32 index; /* in the MSI-X table */
	struct msix_entry message; /* as the guest wrote it */
	/* The handler uses these two without a lock. Route: HELD while it is masked, and VALID |
	 * vCPU << 8 | vector if the message is an interrupt; 0 if it is not enabled. */
	u32 route;
	u32 pending; /* atomic; a message has been latched */
	bool allocated; /* it has a host vector and a remapping entry */
	bool blocked; /* the remapping entry is masked, since the function is paused */
	u32 host_cpu;
	int host_vector;
	struct iommu_irte irte;
};

/* Update the route to match what the guest wrote. enabled: the capability enables interrupts. True
 * if the device may send the message that iommu_irte_message() returns. The bus is locked. */
bool virq_update(struct virq *q, bool enabled);
/* The function is paused: from now on its unit reports this interrupt as a fault. The device has
 * been told to send none, so only a forged message is one. The bus is locked. */
void virq_block(struct virq *q);
/* Latch an interrupt, as if a message had arrived. Any context. */
void virq_latch(struct virq *q);
/* Deliver what has been latched, unless the interrupt is still held back. Any context. */
void virq_deliver_latched(struct virq *q);
/* Block the interrupt. If it was in use, hold the function (assign_hold()) until it cannot arrive
 * any longer. The function has left the bus, which is not locked. */
void virq_remove(struct virq *q);

/* An emulated device of d sends the message that the guest wrote. False: the message is not an
 * interrupt that a vCPU can take. Any context. */
bool virq_send(const struct domain *d, u64 address, u32 data);
