/* The PCI config space of an emulated virtio device (virtio 1.2, 4.1.2 and 4.1.4). */
#pragma once

#include <kernel/lib/compiler.h>

struct vvirtio;

/* A dword of it; offset is in bytes and a multiple of 4, mask says which bits are written. The bus
 * is locked. */
u32 vvirtiopci_read(struct vvirtio *dev, u8 offset);
void vvirtiopci_write(struct vvirtio *dev, u8 offset, u32 value, u32 mask);
/* As after power-on: decoding is off, the BAR at the end of the device window. The device is
 * locked. */
void vvirtiopci_power_on(struct vvirtio *dev);
