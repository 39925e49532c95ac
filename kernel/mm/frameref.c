/* dev_tlb references on frames and blocks. kernel/mm/frame.c proves that taking one and changing a
 * frame's type never both succeed. */
#include <kernel/mm/frameref.h>

#include <kernel/lib/errno.h>
#include <kernel/mm/frameword.h>

#define PART_SHIFT 9 /* a block has 512 parts of the next smaller size */
#define PARTS (1UL << PART_SHIFT)
/* From an address to the place of its record. */
#define RECORD_SHIFT (PAGE_SHIFT - 4)
_Static_assert(sizeof(struct frame_record) == 1 << (PAGE_SHIFT - RECORD_SHIFT),
	       "a shift leads from an address to its record");

static int why_refused(u64 word, u64 want, unsigned int order)
{
	if (order == ORDER_4K) {
		if ((word & FRAME_FROZEN) || is_special(word_type(word)))
			return -EBUSY;
	} else if (word & BLOCK_SPECIAL) {
		return -EBUSY;
	}
	return (word ^ want) & ~WORD_REFS ? -EPERM : -ERANGE;
}

static inline void drop_reference(struct frame_record *r)
{
	u64 old = __atomic_fetch_sub(&r->word, 1, __ATOMIC_SEQ_CST);

	if (unlikely(!(old & WORD_REFS)))
		panic("frame table: a dev_tlb reference was dropped, but none was held (word %lx)",
		      (unsigned long)old);
}

int frame_get_dev(mfn_t mfn, unsigned int order, u16 owner)
{
	u64 want = wanted_word(order, owner), word = want;

	if (unlikely(!has_records(mfn, order, 1)))
		return -EINVAL;
	if (unlikely(owner == OWNER_NONE))
		return -EPERM;
	if (likely(try_reference(record_of(mfn, order), want, &word)))
		return 0;
	return why_refused(word, want, order);
}

/* Reference records from r on, as long as their word is this one. Returns how many. */
static inline u64 reference_alike(struct frame_record *r, u64 nr, u64 word)
{
	u64 done = 0, seen;

	for (; done + 16 <= nr; done += 16) {
#pragma GCC unroll 16
		for (u64 i = 0; i < 16; i++) {
			seen = word;
			if (unlikely(!atomic_cmpxchg(&r[done + i].word, &seen, word + 1)))
				return done + i;
		}
	}
	return done;
}

int frame_get_dev_many(mfn_t mfn, unsigned int order, u64 nr, u16 owner)
{
	u64 want = wanted_word(order, owner), word = want;
	struct frame_record *r;

	if (!has_records(mfn, order, nr))
		return -EINVAL;
	if (owner == OWNER_NONE)
		return -EPERM;
	r = record_of(mfn, order);
	for (u64 i = 0;;) {
		i += reference_alike(&r[i], nr - i, word);
		if (i == nr)
			return 0;
		if (likely(try_reference(&r[i], want, &word))) {
			i++;
			continue;
		}
		while (i--)
			drop_reference(&r[i]);
		return why_refused(word, want, order);
	}
}

void frame_put_dev(mfn_t mfn, unsigned int order)
{
	BUG_ON(!frame_valid(mfn));
	drop_reference(record_of(mfn, order));
}

u64 frame_put_dev_words(const u64 *word, u64 nr, u64 address, u64 skip)
{
	u64 skipped = 0;

#pragma GCC unroll 4
	for (u64 i = 0; i < nr; i++) {
		u64 w = word[i];

		if (unlikely(!w || (w & skip)))
			skipped++;
		else
			drop_reference((struct frame_record *)((char *)frame_records +
							       ((w & address) >> RECORD_SHIFT)));
	}
	return nr - skipped;
}

/* Count a reference on a block. The caller holds references on all its parts, so all of it is RAM
 * of `owner`, whatever the block's word says. */
static void hold_block(struct frame_record *block, u16 owner)
{
	u64 word = read_once(&block->word);

	while (!atomic_cmpxchg(&block->word, &word,
			       ((word & ~WORD_OWNER) | owner_field(owner)) + 1))
		;
}

static void check_block(mfn_t mfn, unsigned int order)
{
	if ((order != ORDER_2M && order != ORDER_1G) || !has_records(mfn, order, 1))
		panic("frame table: %lx is not a block of order %u", (unsigned long)mfn, order);
}

/* Count a reference on each of 512 frames. */
static void hold_frames(struct frame_record *r)
{
#pragma GCC unroll 32
	for (u64 i = 0; i < PARTS; i++)
		(void)atomic_add(&r[i].word, 1);
}

/* The same for 512 blocks of one owner. Blocks that a setter has left mixed (their owner field is
 * 0) get their owner back. */
static void hold_blocks(struct frame_record *r, u16 owner)
{
	u64 all = ~0UL;

#pragma GCC unroll 32
	for (u64 i = 0; i < PARTS; i++) {
		(void)atomic_add(&r[i].word, 1);
		all &= read_once(&r[i].word);
	}
	if ((all & WORD_OWNER) == owner_field(owner))
		return;
	for (u64 i = 0; i < PARTS; i++)
		mark_owner(&r[i], owner);
}

void frame_split_dev(mfn_t mfn, unsigned int order)
{
	struct frame_record *part;

	check_block(mfn, order);
	part = record_of(mfn, order - PART_SHIFT);
	if (order == ORDER_1G)
		hold_blocks(part, word_owner(read_once(&frame_records[mfn].word)));
	else
		hold_frames(part);
	drop_reference(record_of(mfn, order));
}

void frame_merge_dev(mfn_t mfn, unsigned int order)
{
	struct frame_record *part;

	check_block(mfn, order);
	part = record_of(mfn, order - PART_SHIFT);
	hold_block(record_of(mfn, order), word_owner(read_once(&frame_records[mfn].word)));
	for (u64 i = 0; i < PARTS; i++)
		drop_reference(&part[i]);
}
