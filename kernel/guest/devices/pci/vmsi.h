/* MSI of an assigned function (PCI Local Bus 3.0, 6.8.1). The guest sees the 64-bit layout without
 * mask bits, and one vector. */
#pragma once

#include <kernel/lib/compiler.h>

struct vfunction;

/* A dword of the capability; offset is in bytes and counts from its start, mask says which bits are
 * written. The bus is locked. */
u32 vmsi_read(const struct vfunction *f, u8 offset);
void vmsi_write(struct vfunction *f, u8 offset, u32 value, u32 mask);
/* Bring the device's capability in line with what the guest wrote, and with a pause
 * (irqstorm.h). The bus is locked. */
void vmsi_update_device(struct vfunction *f);
/* The device sends no MSI any more. */
void vmsi_disable(const struct vfunction *f);
