/* BARs as a guest sees them. The real ones never move. The guest's are numbers, and while memory
 * decoding is on, the device's registers are mapped where they say. Pages that the guest must not
 * reach directly are trapped instead (vtrap.h). */
#pragma once

#include <kernel/lib/compiler.h>

struct vfunction;

/* Choose guest addresses for the BARs, behind those of the bus's other functions. -ENOSPC: the
 * device window has no room for them. The bus is locked. */
int __must_check vbar_place(struct vfunction *f);
/* Map or unmap after the command register has changed. The bus is locked. */
void vbar_update(struct vfunction *f);
/* Switch memory decoding off. The bus is locked. */
void vbar_unmap_all(struct vfunction *f);
/* Register i; mask says which bits are written. The bus is locked. */
u32 vbar_read(const struct vfunction *f, u32 i);
void vbar_write(struct vfunction *f, u32 i, u32 value, u32 mask);
