/* Interrupts of a guest's PCI devices: from the message that the guest wrote to the guest's vector.
 *
 *	guest writes            Weir                                  the device holds
 *	address, data    ->     the route: vCPUs and vector
 *	(vmsi.c, vmsix.c)       host vector on a CPU, whose handler
 *	                        makes the route's vector pending
 *	                        remapping entry: this device only ->  a message that names the entry
 *
 * The address and data that the guest wrote never reach the device. Host vectors and remapping
 * entries are reserved when the function is attached (virqset.h). One of each is taken when the
 * guest first writes a valid message and unmasks it, and kept until the device is taken away. To
 * mask or re-route the interrupt, Weir changes only the route and the device's mask bit.
 *
 * A unit may have cached that the entry is not present. So the device sends the message only when
 * the entry's invalidation has completed; until then, its vector is masked.
 *
 * A message that arrives while the interrupt is masked, or its function is paused (irqstorm.h), is
 * latched: the guest sees its pending bit, and gets it once when it is unmasked. So nothing is lost
 * that was on its way when the guest masked.
 */
#pragma once

#include <kernel/guest/devices/pci/msixregs.h>
#include <kernel/lib/compiler.h>

struct domain;
struct vfunction;

/* The only interrupt of MSI, or one of MSI-X. */
struct virq {
	struct vfunction *function;
	u32 index; /* of its remapping entry, and in the function's sets; MSI-X: in the table */
	struct msix_entry message; /* as the guest wrote it */
	/* The handler uses this without a lock: HELD while it is masked, and VALID, with the
	 * destination and the vector, if the message is an interrupt. */
	u32 route;
	u32 host_cpu;
	int host_vector; /* if it is in the function's set `allocated` */
};

/* Update the route to match what the guest wrote. True if the device may send the message that
 * iommu_irtes_message() returns, as far as this interrupt is concerned. The bus is locked. */
bool virq_update(struct virq *q);
/* Latch an interrupt, as if a message had arrived. Any context. */
void virq_latch(struct virq *q);
/* Deliver what has been latched, unless the interrupt is still held back. Any context. */
void virq_deliver_latched(struct virq *q);
/* Forget what has been latched for these interrupts (bits by index), since the guest has switched
 * them off. The bus is locked. */
void virq_forget_latched(struct vfunction *f, u64 which);

/* An emulated device of d sends the message that the guest wrote. False: the message is not an
 * interrupt that a vCPU can take. Any context. */
bool virq_send(const struct domain *d, u64 address, u32 data);
