/* MSI of an assigned function (PCI Local Bus 3.0, 6.8.1). The guest sees one vector, in the
 * device's layout: with 32 or 64 address bits, with or without a mask bit. A longer one could lie
 * over the next capability. */
#pragma once

#include <kernel/lib/compiler.h>

struct vfunction;

/* Read or write a dword of the capability; offset is in bytes from its start, mask says which bits
 * are written. The bus is locked. */
u32 vmsi_read(const struct vfunction *f, u8 offset);
void vmsi_write(struct vfunction *f, u8 offset, u32 value, u32 mask);
/* Update the device's capability to match what the guest wrote and whether the function is paused
 * (irqstorm.h). The bus is locked. */
void vmsi_update_device(struct vfunction *f);
/* A pause is over, or the remapping entry has come into force for the first time: let the device
 * send, and deliver what has been latched, or may have been lost. The bus is locked. */
void vmsi_resume(struct vfunction *f);
/* Disable MSI in the device. */
void vmsi_disable(const struct vfunction *f);
