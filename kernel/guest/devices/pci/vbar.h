/* BARs as a guest sees them. The real BARs never move. The guest's BARs are stored values; while
 * the guest has memory decoding enabled, the device's registers are mapped at those guest
 * addresses. Pages that the guest must not access directly are trapped instead (vtrap.h). */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vfunction;

/* Map or unmap the BARs after the command register or a BAR has changed. The bus is locked. */
void vbar_update(struct vfunction *f);
/* Disable memory decoding, and unmap all BARs. The bus is locked. */
void vbar_unmap_all(struct vfunction *f);
/* Read or write BAR register i; mask says which bits are written. The bus is locked. */
u32 vbar_read(const struct vfunction *f, u32 i);
void vbar_write(struct vfunction *f, u32 i, u32 value, u32 mask);
