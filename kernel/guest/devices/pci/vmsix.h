/* MSI-X of an assigned function (PCI Local Bus 3.0, 6.8.2): its capability, and its table, which is
 * in a trapped page of a BAR (vtrap.c). */
#pragma once

#include <kernel/lib/compiler.h>

struct vfunction;

/* Read the device's capability, if it has one. -ENOMEM; -EINVAL: the capability is invalid. */
int __must_check vmsix_init(struct vfunction *f);
void vmsix_free(struct vfunction *f);

/* A dword of the capability; offset is in bytes and counts from its start, mask says which bits are
 * written. The bus is locked. */
u32 vmsix_read(const struct vfunction *f, u8 offset);
void vmsix_write(struct vfunction *f, u8 offset, u32 value, u32 mask);
/* A dword of the table; offset is in bytes and counts from the table's start. The bus is locked. */
u32 vmsix_table_read(const struct vfunction *f, u32 offset);
void vmsix_table_write(struct vfunction *f, u32 offset, u32 value);
/* Bring the device's message control in line with what the guest wrote, and with a pause
 * (irqstorm.h). The bus is locked. */
void vmsix_update_control(const struct vfunction *f);
/* The device sends no MSI-X message any more. */
void vmsix_disable(const struct vfunction *f);

/* Bytes of the table, and of the pending bits; 0: the function has no MSI-X. */
u64 vmsix_table_size(const struct vfunction *f);
u64 vmsix_pba_size(const struct vfunction *f);
