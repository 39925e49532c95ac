/* BARs as a guest sees them. The real BARs never move. The guest's BARs are stored values; while
 * the guest has memory decoding enabled, the device's registers are mapped at those guest
 * addresses. Pages that the guest must not access directly are trapped instead (vtrap.h). */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>
#include <kernel/lib/types.h>

struct vfunction;

/* Map or unmap the BARs after the command register or a BAR has changed, in bounded steps:
 * STEP_DONE or STEP_MORE. The bus is locked. */
enum step __must_check vbar_update(struct vfunction *f);
/* Disable memory decoding, and unmap all BARs, in such steps. The bus is locked. */
enum step __must_check vbar_unmap_all(struct vfunction *f);
/* True if accesses to the trapped pages of BAR i are for this function. The bus is locked. */
bool vbar_is_trapped(const struct vfunction *f, u32 i);
/* Read or write BAR register i; mask says which bits are written. After STEP_MORE the guest must
 * write the same again. The bus is locked. */
u32 vbar_read(const struct vfunction *f, u32 i);
enum step __must_check vbar_write(struct vfunction *f, u32 i, u32 value, u32 mask);
