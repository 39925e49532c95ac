/* The frame table: the type and the owner of each frame. kernel/mm/frame.h says what it promises,
 * kernel/mm/frameword.h what a record's word holds.
 *
 * Why a reference and a type change never both succeed
 *
 * At one size they meet in the same word: a frame is frozen or referenced by compare-and-swap,
 * never both. Across sizes the setter (frame_set() on RAM; frames of other types cannot be
 * referenced at any size, because every block above them is mixed) does
 *
 *	1. count special frames in the blocks			publish
 *	2. freeze each frame that has no reference		publish; no new 4 KiB references
 *	3. mark the blocks mixed, if they have no reference	publish and look
 *	4. the frames must still have no reference		look
 *	5. the blocks must still be mixed and unreferenced, else again from 4
 *
 * and the taker of a block reference (kernel/mm/frameref.c) needs the block's word to say "owner"
 * and "no special frame" in the very compare-and-swap that counts the reference. So either the
 * taker comes before 3, and the setter sees it and backs off, or it comes after 3 and finds the
 * block mixed.
 *
 * That leaves references that *move* between sizes, which ask for no owner: frame_merge_dev() and
 * frame_split_dev(). They publish at the new size before they drop at the old one, and if the new
 * size is a block they write the owner back into it. So if 5 still finds all blocks mixed, none of
 * them was given a reference since it was marked: between 3 and 5 they had none, and no reference
 * could move down from them to a frame. At 4, then, the frames were unreferenced at every size; new
 * references are refused at every size; and none can move in, because a merge needs one on each
 * frame and a split needs one on a block.
 *
 * A setter that loses the race may leave a block mixed that need not be. That is safe, and the next
 * merge or whole set corrects it. */
#include <kernel/mm/frame.h>

#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frameword.h>

struct frame_record *frame_records;
struct frame_record *frame_blocks_2m, *frame_blocks_1g;
u64 frame_nr_records;

static u64 nr_blocks(u64 nr, unsigned int order)
{
	return (nr + BIT(order) - 1) >> order;
}

size_t frame_table_size(u64 nr)
{
	u64 records = nr + nr_blocks(nr, ORDER_2M) + nr_blocks(nr, ORDER_1G);

	return records * sizeof(struct frame_record);
}

void frame_table_init(void *memory, u64 nr)
{
	frame_records = memory;
	frame_blocks_2m = frame_records + nr;
	frame_blocks_1g = frame_blocks_2m + nr_blocks(nr, ORDER_2M);
	frame_nr_records = nr;
}

bool frame_valid(mfn_t mfn)
{
	return mfn < frame_nr_records;
}

static u64 refs_at(mfn_t mfn, unsigned int order)
{
	return read_once(&record_of(mfn, order)->word) & WORD_REFS;
}

u64 frame_dev_refs(mfn_t mfn)
{
	if (!frame_valid(mfn))
		return 0;
	return refs_at(mfn, ORDER_4K) + refs_at(mfn, ORDER_2M) + refs_at(mfn, ORDER_1G);
}

bool frame_query(mfn_t mfn, struct frame_info *info)
{
	u64 word;

	if (!frame_valid(mfn))
		return false;
	word = read_once(&frame_records[mfn].word);
	info->type = word_type(word);
	info->owner = word_owner(word);
	info->own_refs = word & WORD_REFS;
	info->block_refs = refs_at(mfn, ORDER_2M) + refs_at(mfn, ORDER_1G);
	return true;
}

const char *frame_type_name(enum frame_type type)
{
	switch (type) {
	case FRAME_RESERVED:
		return "reserved";
	case FRAME_FREE:
		return "free";
	case FRAME_WEIR:
		return "weir";
	case FRAME_RAM:
		return "ram";
	case FRAME_IO_TABLE:
		return "io-table";
	case FRAME_NESTED_TABLE:
		return "nested-table";
	}
	return "?";
}

#ifdef WEIR_HOST
void (*frame_race_hook)(void);

static void race_point(void)
{
	if (frame_race_hook)
		frame_race_hook();
}
#else
static inline void race_point(void)
{
}
#endif

/* --- type and owner ------------------------------------------------------- */

/* The frames of one frame_set(), and the blocks above or inside them. */
struct span {
	struct frame_record *frame, *block_2m, *block_1g;
	u64 nr, nr_2m;
};

static bool any_refs(const struct frame_record *r, u64 nr)
{
	u64 seen = 0;

	for (u64 i = 0; i < nr; i++)
		seen |= __atomic_load_n(&r[i].word, __ATOMIC_SEQ_CST);
	return seen & WORD_REFS;
}

static void add_special(const struct span *s, s64 sign)
{
	u64 below_2m = s->nr / s->nr_2m;

	for (u64 i = 0; i < s->nr_2m; i++)
		(void)atomic_add(&s->block_2m[i].word, (u64)sign * below_2m * BLOCK_ONE_SPECIAL);
	(void)atomic_add(&s->block_1g->word, (u64)sign * s->nr * BLOCK_ONE_SPECIAL);
}

static void thaw(const struct span *s, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		if (word_type(read_once(&s->frame[i].word)) == FRAME_RAM)
			(void)atomic_and(&s->frame[i].word, ~FRAME_FROZEN);
}

/* False, and nothing frozen, if one of the frames is referenced. */
static bool freeze(const struct span *s)
{
	for (u64 i = 0; i < s->nr; i++) {
		u64 word = read_once(&s->frame[i].word);

		if (word_type(word) != FRAME_RAM)
			continue;
		do {
			if (word & WORD_REFS) {
				thaw(s, i);
				return false;
			}
		} while (!atomic_cmpxchg(&s->frame[i].word, &word, word | FRAME_FROZEN));
	}
	return true;
}

enum mark { MARK_REFERENCED, MARK_WAS_MIXED, MARK_DONE };

static enum mark mark_mixed(struct frame_record *block)
{
	u64 word = __atomic_load_n(&block->word, __ATOMIC_SEQ_CST);

	do {
		if (word & WORD_REFS)
			return MARK_REFERENCED;
		if ((word & WORD_OWNER) == BLOCK_MIXED)
			return MARK_WAS_MIXED;
	} while (!atomic_cmpxchg(&block->word, &word, word & ~WORD_OWNER));
	return MARK_DONE;
}

/* Mark all blocks of the span. MARK_DONE if one of them was not mixed any more. */
static enum mark mark_blocks(const struct span *s)
{
	enum mark all = mark_mixed(s->block_1g);

	race_point();
	for (u64 i = 0; all != MARK_REFERENCED && i < s->nr_2m; i++) {
		enum mark one = mark_mixed(&s->block_2m[i]);

		if (one != MARK_WAS_MIXED)
			all = one;
	}
	race_point();
	return all;
}

/* Steps 3 to 5 of the comment at the top. Every access here and in freeze() is sequentially
 * consistent, which is the full barrier between publishing and looking. */
static bool unreferenced_at_all_sizes(const struct span *s)
{
	enum mark mark = mark_blocks(s);

	while (mark != MARK_REFERENCED) {
		if (any_refs(s->frame, s->nr))
			return false;
		race_point();
		mark = mark_blocks(s);
		if (mark == MARK_WAS_MIXED)
			return true;
	}
	return false;
}

/* Count the special frames that stop being special, in the blocks above them. */
static u64 special_among(const struct frame_record *frame, u64 nr)
{
	u64 n = 0;

	for (u64 i = 0; i < nr; i++)
		n += is_special(word_type(read_once(&frame[i].word)));
	return n;
}

static void drop_special(const struct span *s)
{
	u64 per_block = s->nr / s->nr_2m;

	for (u64 i = 0; i < s->nr_2m; i++) {
		u64 n;

		if (!(read_once(&s->block_2m[i].word) & BLOCK_SPECIAL))
			continue;
		n = special_among(s->frame + i * per_block, per_block);
		(void)atomic_sub(&s->block_2m[i].word, n * BLOCK_ONE_SPECIAL);
		(void)atomic_sub(&s->block_1g->word, n * BLOCK_ONE_SPECIAL);
	}
}

static bool any_ram(const struct span *s)
{
	for (u64 i = 0; i < s->nr; i++)
		if (word_type(read_once(&s->frame[i].word)) == FRAME_RAM)
			return true;
	return false;
}

/* Make sure that no reference reaches the frames and that none can be taken. False if one does:
 * then nothing has changed. */
static bool exclude_references(const struct span *s)
{
	if (!any_ram(s))
		return true;
	/* A plain look first, so that blocks of frames that stay referenced do not lose their
	 * owner. */
	if (any_refs(s->block_1g, 1) || any_refs(s->block_2m, s->nr_2m) ||
	    any_refs(s->frame, s->nr))
		return false;
	race_point();
	if (!freeze(s))
		return false;
	race_point();
	if (unreferenced_at_all_sizes(s))
		return true;
	thaw(s, s->nr);
	return false;
}

int frame_set(mfn_t mfn, unsigned int order, enum frame_type type, u16 owner)
{
	u64 word = frame_word(type, owner);
	struct span s;

	if (order > ORDER_1G || !has_records(mfn, order, 1))
		return -EINVAL;
	if (type == FRAME_RAM && owner == OWNER_NONE)
		return -EINVAL;
	s = (struct span){
		.frame = record_of(mfn, ORDER_4K),
		.block_2m = record_of(mfn, ORDER_2M),
		.block_1g = record_of(mfn, ORDER_1G),
		.nr = BIT(order),
		.nr_2m = order > ORDER_2M ? BIT(order - ORDER_2M) : 1,
	};

	/* The new special frames are counted before the old ones are subtracted, so that none is
	 * ever missed. */
	if (is_special(type))
		add_special(&s, 1);
	if (!exclude_references(&s)) {
		if (is_special(type))
			add_special(&s, -1);
		return -EBUSY;
	}
	drop_special(&s);

	for (u64 i = 0; i < s.nr; i++) {
		if (type == FRAME_IO_TABLE)
			s.frame[i].aux.raw = 0;
		store_release(&s.frame[i].word, word);
	}
	if (type == FRAME_RAM) {
		for (u64 i = 0; order >= ORDER_2M && i < s.nr_2m; i++)
			mark_owner(&s.block_2m[i], owner);
		if (order == ORDER_1G)
			mark_owner(s.block_1g, owner);
	}
	return 0;
}

int frame_join(mfn_t mfn, u16 owner)
{
	const struct frame_record *part;

	if (!has_records(mfn, ORDER_1G, 1))
		return -EINVAL;
	part = record_of(mfn, ORDER_2M);
	for (u64 i = 0; i < BIT(ORDER_1G - ORDER_2M); i++)
		if ((read_once(&part[i].word) & WORD_OWNER) != owner_field(owner))
			return -EPERM;
	mark_owner(record_of(mfn, ORDER_1G), owner);
	return 0;
}

/* --- what others keep in a record ----------------------------------------- */

struct frame_links *frame_links(mfn_t mfn)
{
	return &frame_records[mfn].aux.links;
}

struct frame_slab *frame_slab(mfn_t mfn)
{
	return &frame_records[mfn].aux.slab;
}

int frame_free_order(mfn_t mfn)
{
	u64 word = read_once(&frame_records[mfn].word);

	return word_type(word) == FRAME_FREE ? (int)FIELD_GET(FRAME_ORDER, word) - 1 : -1;
}

void frame_set_free_order(mfn_t mfn, int order)
{
	/* A free frame has no references, and only the allocator writes its word: no atomic change
	 * is needed. */
	u64 word = read_once(&frame_records[mfn].word) & ~FRAME_ORDER;

	write_once(&frame_records[mfn].word, word | FIELD_PREP(FRAME_ORDER, order + 1));
}
