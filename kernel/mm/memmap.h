/* The firmware's memory map, made usable: from entries in any order, overlapping, unaligned or
 * absurd, to a sorted list of whole RAM frames that nothing else occupies. Works before there is an
 * allocator.
 *
 *	memmap_build()
 *	memmap_reserve() the image, the modules, the boot information
 *	memmap_place() the frame table
 *	alloc_add() each range that is left
 *
 * The sets are sets of frame numbers, in storage that the caller provides. */
#pragma once

#include <kernel/lib/rangeset.h>

/* Types as in the multiboot2 specification, 3.6.8, and ACPI 6.5, 15: anything but these two is
 * reserved. */
#define MEMMAP_RAM 1
#define MEMMAP_ACPI_RECLAIMABLE 3
#define MEMMAP_BAD 5

struct memmap_entry {
	paddr_t base;
	u64 len; /* bytes */
	u32 type;
};

/* Frames that can have a record: frame_links hold 32 bits, the highest value of which means
 * "none". */
#define MEMMAP_MAX_FRAMES 0xffffffffUL

/* Set `ram` to the whole frames that some entry calls RAM and no entry calls otherwise. Each oddity
 * is logged in one line. Returns the number of frames that the frame table must cover
 * (0: no usable RAM at all). */
u64 memmap_build(struct rangeset *ram, const struct memmap_entry *entry, u32 nr);
/* rangeset_add() for the sets of this file; if the set is full, the log names it. */
int __must_check memmap_add(struct rangeset *set, mfn_t first, mfn_t last);
/* Remove every frame that [base, base + len) touches from `ram`. */
void memmap_reserve(struct rangeset *ram, paddr_t base, u64 len);
/* Find room for `size` bytes, page aligned, wholly below `limit` (bytes) and not in the first MiB,
 * and reserve it. Takes from the smallest range that is large enough, at its upper end, so that
 * large aligned blocks stay whole. Returns the address, or MEMMAP_NO_PLACE with the largest range
 * that there was in *largest (bytes). */
#define MEMMAP_NO_PLACE (~(paddr_t)0)
paddr_t memmap_place(struct rangeset *ram, u64 size, paddr_t limit, u64 *largest);
/* The same for the frame table of *nr_frames frames. If it is too large (one absurd entry at a high
 * address is enough), the highest ranges of RAM are left unused, with a line in the log for each,
 * until it fits; *nr_frames is updated. */
paddr_t memmap_place_frame_table(struct rangeset *ram, paddr_t limit, u64 *nr_frames);
