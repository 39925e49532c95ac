/* The frame table: who owns each page of RAM, what it is used as, and how many device mappings
 * reach it.
 *
 * One 16-byte record per 4 KiB frame, and one per 2 MiB and per 1 GiB block. A device mapping (a
 * present or tombstoned leaf of an I/O page table) holds exactly one `dev_tlb` reference, on the
 * record of the leaf's own size. A frame's effective type and count are its own plus those of the
 * blocks above it; a block counts the *special* frames below it (page tables of any kind), so that
 * a conflict is found in O(1) from either side.
 *
 * The race between a block reference and a type change inside the block, taken on two CPUs at once,
 * is closed by order: each side first publishes what it does in its own record, with a full
 * barrier, then looks at the other's, and backs off on conflict. kernel/mm/frame.c says why that is
 * enough.
 */
#pragma once

#include <kernel/lib/compiler.h>

enum frame_type {
	FRAME_RESERVED, /* no RAM, or the firmware's: never given to anybody */
	FRAME_FREE, /* in the allocator */
	FRAME_WEIR, /* Weir's own image, heap and tables of the host */
	FRAME_RAM, /* a domain's memory; dev_tlb references allowed (effective type dev_tlb while there is one) */
	FRAME_IO_TABLE, /* an I/O page table, root, context or interrupt-remapping table: special */
	FRAME_NESTED_TABLE, /* a nested page table: special */
};

/* Owners are domain ids; these two are not domains. */
#define OWNER_NONE 0xffff
#define OWNER_WEIR 0xfffe

struct frame_info {
	enum frame_type type;
	u16 owner;
	u32 own_refs; /* dev_tlb references on the 4 KiB record */
	u32 block_refs; /* those on the 2 MiB and 1 GiB blocks above it */
};

/* Bytes that frame_table_init() needs for frames [0, nr_frames). */
size_t frame_table_size(u64 nr_frames);
/* Set up the table in `memory` (zeroed, page aligned); every frame starts as FRAME_RESERVED. Boot
 * only. */
void frame_table_init(void *memory, u64 nr_frames);
/* True if mfn has a record (RAM or not). */
bool frame_valid(mfn_t mfn);
/* Snapshot of one frame, for fault messages and statistics. False if it has no record. */
bool frame_query(mfn_t mfn, struct frame_info *info);
const char *frame_type_name(enum frame_type type);

/* Change type and owner of 1 << order frames (mfn aligned to that) that nobody references: boot, allocator, special
 * frames. -EBUSY if a block above, one of the frames or a block inside holds a dev_tlb reference; nothing changed then.
 * -EINVAL for frames without a record, and for FRAME_RAM of OWNER_NONE. Setting a whole 2 MiB or 1 GiB block to RAM in
 * one call lets it be referenced as a block. Nobody else may set the same frames at the same time. Any context. */
int __must_check frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner);

/* Take one dev_tlb reference for `owner` on the record of 1 << order frames (ORDER_4K, _2M or _1G; mfn aligned).
 * -EPERM if it is not all FRAME_RAM of that owner, or (for a block) if it became so piece by piece and was never set or
 * merged as a whole; -EBUSY if a special frame is or lies in it, or its type is being changed; -EINVAL if it has no
 * record, -ERANGE if the count is full. Any context, lock-free. */
int __must_check frame_get_dev(mfn_t mfn, unsigned int order, u16 owner);
/* Take nr references at ORDER_4K or ORDER_2M on consecutive frames/blocks, all or none. */
int __must_check frame_get_dev_many(mfn_t mfn, unsigned int order, u64 nr, u16 owner);
/* Drop one. Panics on underflow: that is our own bug. */
void frame_put_dev(mfn_t mfn, unsigned int order);
/* Drop one on each of nr consecutive frames or blocks (ORDER_4K or ORDER_2M). */
void frame_put_dev_many(mfn_t mfn, unsigned int order, u64 nr);
/* Drop one 4 KiB reference on the frame that each of nr words names by its bits in `address`; words that are 0 or have a bit of
 * `skip` name none. How many were dropped. */
u64 frame_put_dev_words(const u64 *word, u64 nr, u64 address, u64 skip);
/* Move one reference on a block down to its 512 parts (split), or 512 up into one (collapse). Never
 * fail; the caller holds those references. At no moment is any part unreferenced. A merged block
 * counts as set as a whole. */
void frame_split_dev(mfn_t mfn, unsigned int order);
void frame_merge_dev(mfn_t mfn, unsigned int order);
/* dev_tlb references that reach this frame: its own plus the blocks'. */
u64 frame_dev_refs(mfn_t mfn);

/* What an I/O page table's record counts besides (see iommu/table.c): for FRAME_IO_TABLE frames
 * only. */
struct frame_table_counts {
	u16 present; /* entries that the hardware may use */
	u16 tombstones; /* entries that wait for their batch */
	bool whole; /* all entries are leaves, held by one reference on the block that they are together */
};

/* Links for the allocator's free lists: two frame numbers (mfn < 2^32), valid while FRAME_FREE. */
struct frame_links {
	u32 next, prev;
};
struct frame_links *frame_links(mfn_t mfn);
/* The order of the free block that starts at this FRAME_FREE frame; -1: none starts here.
 * frame_set() makes it -1. The allocator's lock guards it. */
int frame_free_order(mfn_t mfn);
void frame_set_free_order(mfn_t mfn, int order);

/* What the allocator of small objects keeps per page, valid while FRAME_WEIR. */
struct frame_slab {
	u16 kind; /* 0: not from kzalloc() */
	u16 used; /* objects handed out */
	u16 first_free; /* index of an object */
	u16 reserved;
};
struct frame_slab *frame_slab(mfn_t mfn);

/* A record. Its word is kernel/mm/frame.c's alone; it is shown for the sake of the inline function below. */
struct frame_record {
	u64 word;
	union {
		u64 raw;
		struct frame_links links;
		struct frame_table_counts counts;
		struct frame_slab slab;
	} aux;
};
_Static_assert(sizeof(struct frame_record) == 16, "4 MiB of table per GiB of RAM");
extern struct frame_record *frame_records; /* by frame number */

static inline struct frame_table_counts *frame_table_counts(mfn_t mfn)
{
	return &frame_records[mfn].aux.counts;
}

#ifdef WEIR_HOST
/* Tests: called between the steps of frame_set(), to do what another CPU may do just then. */
extern void (*frame_race_hook)(void);
#endif
