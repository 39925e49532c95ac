/* A format of nested entries for tests. */
#pragma once

#include <kernel/guest/memory/nested.h>

/* Present is bit 0, leaf bit 7, flags from bit 56. */
static inline u64 fmt_table(paddr_t pa)
{
	return pa | 1;
}

static inline u64 fmt_leaf(paddr_t pa, unsigned int level, u32 flags)
{
	return pa | 1 | (level > 1 ? 0x80 : 0) | (u64)flags << 56;
}

static inline u32 fmt_flags(u64 e)
{
	return e >> 56;
}

static const struct nested_format test_format = {
	.table = fmt_table,
	.leaf = fmt_leaf,
	.flags = fmt_flags,
	.present = 1,
	.superpage = 0x80,
	.device = (u64)NESTED_DEVICE << 56,
	.has_1g = true,
};
