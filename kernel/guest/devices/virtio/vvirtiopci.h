/* The PCI config space of an emulated virtio device (virtio 1.2, 4.1.2 and 4.1.4). */
#pragma once

#include <kernel/lib/compiler.h>

struct vvirtio;

/* Read or write a dword; offset is in bytes and a multiple of 4, mask says which bits are written.
 * The bus is locked. */
u32 vvirtiopci_read(struct vvirtio *dev, u8 offset);
void vvirtiopci_write(struct vvirtio *dev, u8 offset, u32 value, u32 mask);
/* Reset to the state after power-on: decoding is off, and the BAR is at the end of the device
 * window. The device is locked. */
void vvirtiopci_power_on(struct vvirtio *dev);
