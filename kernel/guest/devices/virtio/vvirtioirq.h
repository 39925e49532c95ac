/* Interrupts of an emulated virtio device: MSI-X, with pending bits for masked vectors. There are
 * no legacy interrupts: a driver that does not use MSI-X gets none. The device is locked in all of
 * these functions. */
#pragma once

#include <kernel/lib/compiler.h>

struct vvirtio;

/* Raise this vector; NO_VECTOR: the driver does not want an interrupt. */
void vvirtioirq_raise(struct vvirtio *dev, u16 vector);
/* Something may have been unmasked: send the pending interrupts that are not masked any longer. */
void vvirtioirq_send_pending(struct vvirtio *dev);
/* Clear all pending bits. */
void vvirtioirq_forget_pending(struct vvirtio *dev);
/* The pending bits (PCI Local Bus 3.0, 6.8.2.10). */
u8 vvirtioirq_pending_bits(const struct vvirtio *dev);
/* Read or write a dword of the MSI-X table; offset is in bytes from its start. */
u32 vvirtioirq_table_read(const struct vvirtio *dev, u32 offset);
void vvirtioirq_table_write(struct vvirtio *dev, u32 offset, u32 value);
/* Reset MSI-X to the state after power-on: disabled, all entries empty and masked. */
void vvirtioirq_power_on(struct vvirtio *dev);
