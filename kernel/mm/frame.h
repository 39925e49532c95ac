/* The frame table: who owns each page of RAM, what it is used as, and how many device mappings
 * reach it.
 *
 * There is one 16-byte record per 4 KiB frame, one per 2 MiB block and one per 1 GiB block. A
 * device mapping (a present or tombstoned leaf of an I/O page table) holds exactly one `dev_tlb`
 * reference, on the record of the leaf's own size (kernel/mm/frameref.h). A frame's effective type
 * and count are its own plus those of the blocks above it; a block counts the *special* frames
 * below it (page tables of any kind), so that a conflict is found in O(1) from either side.
 *
 * A reference to a block and a type change inside the block may be attempted by two CPUs at once.
 * It is not enough that each publishes what it does and then looks at the other's record, because
 * references also move between sizes (docs/decisions/0004). kernel/mm/frame.c has the steps that
 * are enough, and the proof. */
#pragma once

#include <kernel/lib/compiler.h>

enum frame_type {
	FRAME_RESERVED, /* not RAM, or the firmware's: never allocated */
	FRAME_FREE, /* in the allocator */
	FRAME_WEIR, /* Weir's image, heap and own page tables */
	/* A domain's memory. dev_tlb references are allowed; while there is one, the effective type
	 * is dev_tlb. */
	FRAME_RAM,
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

/* Change type and owner of 1 << order frames (mfn aligned to that) without references. -EBUSY if a
 * block above, one of the frames or a block inside holds a dev_tlb reference: then nothing has
 * changed.
 * -EINVAL for frames without a record, and for FRAME_RAM of OWNER_NONE. Setting a whole 2 MiB or
 * 1 GiB block to RAM in one call allows references to it as a block. No other CPU may set the same
 * frames at the same time. Any context. */
int __must_check frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner);
/* Allow references to a block of 1 GiB as a whole, when each of its blocks of 2 MiB has become RAM
 * of this owner by a call of its own: a call for 1 GiB takes some milliseconds. -EPERM: not all of
 * them have; -EINVAL: no record. No frame of it may change its type meanwhile. */
int __must_check frame_join(mfn_t mfn, u16 owner);

/* dev_tlb references that reach this frame: its own plus the blocks'. */
u64 frame_dev_refs(mfn_t mfn);

/* What the record of an I/O page table (FRAME_IO_TABLE) also counts; see iommu/table.c. */
struct frame_table_counts {
	u16 present; /* entries that the hardware may use */
	u16 tombstones; /* entries that wait for their batch */
	bool whole; /* all entries are leaves, held by one reference on the block that they form */
};

/* Links for the allocator's free lists: two frame numbers (mfn < 2^32), valid while FRAME_FREE. */
struct frame_links {
	u32 next, prev;
};
struct frame_links *frame_links(mfn_t mfn);
/* The order of the free block that starts at this FRAME_FREE frame; -1: none starts here.
 * frame_set() makes it -1. Guarded by alloc_lock. */
int frame_free_order(mfn_t mfn);
void frame_set_free_order(mfn_t mfn, int order);

/* What kzalloc() keeps per page, valid while FRAME_WEIR. */
struct frame_slab {
	u16 kind; /* 0: not from kzalloc() */
	u16 used; /* objects handed out */
	u16 first_free; /* index of an object */
	u16 reserved;
};
struct frame_slab *frame_slab(mfn_t mfn);

/* A record. It is public only for the inline function below; kernel/mm/frameword.h describes the
 * word. */
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
/* Tests: called between the steps of frame_set(), to do what another CPU may do at that moment. */
extern void (*frame_race_hook)(void);
#endif
