/* The word of a record of the frame table, for kernel/mm/frame.c and kernel/mm/frameref.c.
 *
 * All that must change together is in one 64-bit word per record, so that most questions are
 * settled by one compare-and-swap:
 *
 *	frame	63 frozen | 62:47 ~owner | 36:32 free order + 1 | 31:28 type | 26:0 references
 *	block	            62:47 ~owner | 46:27 special frames below        | 26:0 references
 *
 * A block's owner is the one owner whose RAM *all* its frames are. Otherwise it is OWNER_NONE: the
 * block is "mixed" and cannot be referenced as a block. Owners are stored inverted, so that a
 * zeroed table says RESERVED, no owner, mixed. */
#pragma once

#include <kernel/core/panic.h>
#include <kernel/lib/atomic.h>
#include <kernel/mm/frame.h>

#define WORD_REFS MASK(26, 0)
#define WORD_OWNER MASK(62, 47)
#define FRAME_TYPE MASK(31, 28)
#define FRAME_ORDER MASK(36, 32)
#define FRAME_FROZEN BIT(63)
#define BLOCK_SPECIAL MASK(46, 27)
#define BLOCK_ONE_SPECIAL BIT(27)
#define BLOCK_MIXED 0UL /* the owner field of a mixed block */

/* The records of blocks, by block number, and the number of 4 KiB frames that have one. Written
 * once at boot, before any other CPU runs. */
extern struct frame_record *frame_blocks_2m, *frame_blocks_1g;
extern u64 frame_nr_records;

/* True if [mfn, mfn + (nr << order)) is aligned, and all of it has records. */
static inline bool has_records(mfn_t mfn, unsigned int order, u64 nr)
{
	return mfn < frame_nr_records && !(mfn & (BIT(order) - 1)) &&
	       nr <= (frame_nr_records - mfn) >> order;
}

static inline bool is_special(enum frame_type type)
{
	return type == FRAME_IO_TABLE || type == FRAME_NESTED_TABLE;
}

static inline u64 owner_field(u16 owner)
{
	return FIELD_PREP(WORD_OWNER, (u16)~owner);
}

static inline u64 frame_word(enum frame_type type, u16 owner)
{
	return owner_field(owner) | FIELD_PREP(FRAME_TYPE, type);
}

static inline enum frame_type word_type(u64 word)
{
	return FIELD_GET(FRAME_TYPE, word);
}

static inline u16 word_owner(u64 word)
{
	return ~FIELD_GET(WORD_OWNER, word);
}

static __always_inline struct frame_record *record_of(mfn_t mfn, unsigned int order)
{
	switch (order) {
	case ORDER_4K:
		return &frame_records[mfn];
	case ORDER_2M:
		return &frame_blocks_2m[mfn >> ORDER_2M];
	case ORDER_1G:
		return &frame_blocks_1g[mfn >> ORDER_1G];
	default:
		panic("frame table: no records of order %u", order);
	}
}

/* Note that all frames of the block are RAM of this owner. */
static inline void mark_owner(struct frame_record *block, u16 owner)
{
	u64 word = read_once(&block->word);

	while (!atomic_cmpxchg(&block->word, &word, (word & ~WORD_OWNER) | owner_field(owner)))
		;
}

/* No reference is taken beyond this count. Merges and splits may add the counts of all three sizes
 * up in one word, which must not overflow. */
#define MAX_REFS BIT(25)

/* The word of a record that `owner` may reference, without the count. */
static inline u64 wanted_word(unsigned int order, u16 owner)
{
	return order == ORDER_4K ? frame_word(FRAME_RAM, owner) : owner_field(owner);
}

/* Count one more reference if the record's word is `want`, whatever its count. *guess: a word that
 * it may well have; afterwards, the word that it had. */
static __always_inline bool try_reference(struct frame_record *r, u64 want, u64 *guess)
{
	/* Most records have no reference, or as many as the one before: no need to look first. */
	while (unlikely(!atomic_cmpxchg(&r->word, guess, *guess + 1)))
		/* One comparison checks all: type, owner, frozen, special frames below, and the
		 * limit of the count. */
		if ((*guess ^ want) >= MAX_REFS)
			return false;
	return true;
}
