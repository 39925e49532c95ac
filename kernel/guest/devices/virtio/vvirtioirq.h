/* Interrupts of an emulated virtio device: MSI-X, with pending bits for what is masked. There are
 * no legacy interrupts: a driver that does not use MSI-X gets none. The device is locked in all of
 * these. */
#pragma once

#include <kernel/lib/compiler.h>

struct vvirtio;

/* NO_VECTOR: the driver wants no interrupt. */
void vvirtioirq_raise(struct vvirtio *dev, u16 vector);
/* Something was unmasked: send what waited for it. */
void vvirtioirq_send_pending(struct vvirtio *dev);
void vvirtioirq_forget_pending(struct vvirtio *dev);
/* The pending bits (PCI Local Bus 3.0, 6.8.2.10). */
u8 vvirtioirq_pending_bits(const struct vvirtio *dev);
/* A dword of the MSI-X table; offset is in bytes from its start. */
u32 vvirtioirq_table_read(const struct vvirtio *dev, u32 offset);
void vvirtioirq_table_write(struct vvirtio *dev, u32 offset, u32 value);
/* As after power-on: disabled, all entries empty and masked. */
void vvirtioirq_power_on(struct vvirtio *dev);
