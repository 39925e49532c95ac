/* The registers of an emulated virtio device (virtio 1.2, 4.1.4). */
#pragma once

#include <kernel/guest/devices/virtio/vvirtio.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

/* BAR 0 is one page; offsets in it: */
#define VVIRTIO_BAR_SIZE PAGE_SIZE
#define VVIRTIO_COMMON 0u
#define VVIRTIO_ISR 0x100u
#define VVIRTIO_DEVICE 0x200u /* the device's configuration */
#define VVIRTIO_NOTIFY 0x300u
#define VVIRTIO_MSIX_TABLE 0x400u
#define VVIRTIO_MSIX_PENDING 0x800u
#define VVIRTIO_NOTIFY_STRIDE 4u /* bytes from one queue's register to the next */
#define VVIRTIO_NOTIFY_SIZE (VVIRTIO_NOTIFY_STRIDE * VVIRTIO_QUEUES)

/* Map the registers at the BAR's address if memory decoding is enabled and the address is in the
 * device window, or else unmap them. If something else of the domain's is already there, they stay
 * unmapped. The device is locked. */
void vvirtioregs_map(struct vvirtio *dev);
