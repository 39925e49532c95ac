/* BARs as a guest sees them. The real BARs never move. The guest's BARs are stored values; while
 * the guest has memory decoding enabled, the device's registers are mapped at those guest
 * addresses. Pages that the guest must not access directly are trapped instead (vtrap.h). */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vfunction;

/* Choose guest addresses for the BARs: the lowest that no other function of the bus was given.
 * -ENOSPC: the device window has no room for them. The bus is locked. */
int __must_check vbar_place(struct vfunction *f);
/* How many bytes of the window the BARs take. */
u64 vbar_total_size(const struct vfunction *f);
/* Map or unmap the BARs after the command register or a BAR has changed. The bus is locked. */
void vbar_update(struct vfunction *f);
/* Disable memory decoding, and unmap all BARs. The bus is locked. */
void vbar_unmap_all(struct vfunction *f);
/* Read or write BAR register i; mask says which bits are written. The bus is locked. */
u32 vbar_read(const struct vfunction *f, u32 i);
void vbar_write(struct vfunction *f, u32 i, u32 value, u32 mask);
