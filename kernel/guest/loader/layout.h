/* Which usable guest memory is still free while a guest is loaded. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/rangeset.h>

struct guest_layout {
	u64 ram;
	u64 limit; /* nothing is placed from here on, by the kernel's own wish; 0: it has none */
	struct rangeset free;
	struct range storage[64];
};

/* All usable memory of a guest with `ram` bytes is free. */
void layout_init(struct guest_layout *l, u64 ram);
/* Occupy [gpa, gpa + len) for something that must lie there. -ERANGE if not all of it is usable
 * RAM. Claims may overlap. */
int __must_check layout_claim(struct guest_layout *l, gpaddr_t gpa, u64 len);
/* Find and occupy room for something that may lie anywhere below 4 GiB, in whole pages: the lowest
 * place from 64 KiB up, or the highest. False if there is none. */
bool __must_check layout_place_low(struct guest_layout *l, u64 len, gpaddr_t *gpa);
bool __must_check layout_place_high(struct guest_layout *l, u64 len, gpaddr_t *gpa);
/* From here on, place nothing above `last`. */
void layout_limit(struct guest_layout *l, gpaddr_t last);
/* The largest piece, in bytes, that layout_place_*() could find. */
u64 layout_largest(const struct guest_layout *l);
