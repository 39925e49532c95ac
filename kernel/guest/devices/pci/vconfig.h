/* Filters a guest's accesses to a function's config space. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct vfunction;

/* Read or write a dword; offset is in bytes and a multiple of 4, mask says which bits are written.
 * After STEP_MORE, the guest must write the same again. The bus is locked. */
u32 vconfig_read(struct vfunction *f, u8 offset);
enum step __must_check vconfig_write(struct vfunction *f, u8 offset, u32 value, u32 mask);
