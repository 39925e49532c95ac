/* The frame table. See kernel/mm/frame.h for what it promises.
 *
 * All that must change together sits in one 64-bit word per record, so that most questions are settled by one
 * compare-and-swap:
 *
 *	4 KiB frame	63 frozen | 62:47 ~owner | 36:32 free order + 1 | 31:28 type | 26:0 references
 *	block		            62:47 ~owner | 46:27 special frames below     | 26:0 references
 *
 * A block's owner is the one owner whose RAM *all* its frames are; else OWNER_NONE, "mixed", and then it can not be
 * referenced as a block. Owners are stored inverted, so a zeroed table says RESERVED, nobody's, mixed.
 *
 * Why a reference and a type change never both succeed
 *
 * At one size they meet in the same word: a frame is frozen or referenced by compare-and-swap, never both. Across sizes
 * the setter (frame_set() on RAM; other types can not be referenced at any size, as every block above is mixed) does
 *
 *	1. special counts up in the blocks			publish
 *	2. freeze each frame that has no reference		publish; no new 4 KiB reference from here on
 *	3. mark the blocks mixed, if they have no reference	publish and look
 *	4. the frames must have no reference still		look
 *	5. the blocks must be mixed and unreferenced still, else again from 4
 *
 * and the taker of a block reference needs the block's word to say "owner" and "no special frame" in the very
 * compare-and-swap that counts the reference. So a taker comes either before 3, and the setter sees it and backs off, or
 * after it, and finds the block mixed.
 *
 * What is left are references that *move* between sizes, which ask for no owner: frame_merge_dev() and
 * frame_split_dev(). They publish at the new size before they drop at the old one, and where the new size is a block they
 * write the owner back into it. So if 5 finds all blocks mixed still, none of them was given a reference since it was
 * marked: between 3 and 5 they had none, and no reference could move down from them to a frame. At 4, then, the frames
 * were unreferenced at every size; new references are refused at every size; and none can move in, since a merge needs
 * one on each frame and a split one on a block.
 *
 * A setter that loses the race leaves a block mixed that need not be: safe, and put right by the next merge or whole set.
 */
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/core/panic.h>

#define PART_SHIFT 9 /* a block has 512 parts of the next smaller size */
#define PARTS (1UL << PART_SHIFT)
/* From an address to the place of its record. */
#define RECORD_SHIFT (PAGE_SHIFT - 4)
_Static_assert(sizeof(struct frame_record) == 1 << (PAGE_SHIFT - RECORD_SHIFT),
	       "the frame table's bytes per GiB are promised");

#define WORD_REFS MASK(26, 0)
#define WORD_OWNER MASK(62, 47)
#define FRAME_TYPE MASK(31, 28)
#define FRAME_ORDER MASK(36, 32)
#define FRAME_FROZEN BIT(63)
#define BLOCK_SPECIAL MASK(46, 27)
#define BLOCK_ONE_SPECIAL BIT(27)
#define BLOCK_MIXED 0UL /* the owner field of a mixed block */

/* Takers stop here: merges and splits may add the counts of all three sizes up in one word, and
 * must not overflow it. */
#define MAX_REFS BIT(25)

/* Written once at boot, before any other CPU runs. */
struct frame_record *frame_records;
static struct frame_record *blocks_2m, *blocks_1g;
static u64 nr_frames;

static u64 parts(u64 nr, unsigned int order)
{
	return (nr + BIT(order) - 1) >> order;
}

size_t frame_table_size(u64 nr)
{
	return (nr + parts(nr, ORDER_2M) + parts(nr, ORDER_1G)) * sizeof(struct frame_record);
}

void frame_table_init(void *memory, u64 nr)
{
	frame_records = memory;
	blocks_2m = frame_records + nr;
	blocks_1g = blocks_2m + parts(nr, ORDER_2M);
	nr_frames = nr;
}

bool frame_valid(mfn_t mfn)
{
	return mfn < nr_frames;
}

/* [mfn, mfn + (nr << order)) is aligned and all of it has records. */
static bool range_valid(mfn_t mfn, unsigned int order, u64 nr)
{
	return mfn < nr_frames && !(mfn & (BIT(order) - 1)) && nr <= (nr_frames - mfn) >> order;
}

static bool is_special(enum frame_type type)
{
	return type == FRAME_IO_TABLE || type == FRAME_NESTED_TABLE;
}

static u64 owner_field(u16 owner)
{
	return FIELD_PREP(WORD_OWNER, (u16)~owner);
}

static u64 frame_word(enum frame_type type, u16 owner)
{
	return owner_field(owner) | FIELD_PREP(FRAME_TYPE, type);
}

static enum frame_type word_type(u64 word)
{
	return FIELD_GET(FRAME_TYPE, word);
}

static u16 word_owner(u64 word)
{
	return ~FIELD_GET(WORD_OWNER, word);
}

static __always_inline struct frame_record *record_of(mfn_t mfn, unsigned int order)
{
	switch (order) {
	case ORDER_4K:
		return &frame_records[mfn];
	case ORDER_2M:
		return &blocks_2m[mfn >> ORDER_2M];
	case ORDER_1G:
		return &blocks_1g[mfn >> ORDER_1G];
	default:
		panic("frame table: no records of order %u", order);
	}
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

/* --- type and owner ----------------------------------------------------------------------------------------------- */

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

/* Mark all the span's blocks. MARK_DONE if one of them was not mixed any more. */
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

static void mark_owner(struct frame_record *block, u16 owner)
{
	u64 word = read_once(&block->word);

	while (!atomic_cmpxchg(&block->word, &word, (word & ~WORD_OWNER) | owner_field(owner)))
		;
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

/* Make sure that no reference reaches the frames and that none can come; false if one does, nothing
 * changed then. */
static bool exclude_references(const struct span *s)
{
	if (!any_ram(s))
		return true;
	/* A plain look first: who is referenced for long is refused without its blocks losing their
	 * owner. */
	if (any_refs(s->block_1g, 1) || any_refs(s->block_2m, s->nr_2m) || any_refs(s->frame, s->nr))
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

	if (order > ORDER_1G || !range_valid(mfn, order, 1))
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

	/* The new special frames are counted before the old ones are taken off, so that none is
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

/* --- references --------------------------------------------------------------------------------------------------- */

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

/* The word of a record that `owner` may reference, without the count. */
static u64 wanted_word(unsigned int order, u16 owner)
{
	return order == ORDER_4K ? frame_word(FRAME_RAM, owner) : owner_field(owner);
}

static inline bool try_get(struct frame_record *r, u64 want, u64 *seen)
{
	u64 word = read_once(&r->word);

	do {
		/* One comparison for all: type or owner that differ, frozen, special below, and the
		 * count's limit. */
		if (unlikely((word ^ want) >= MAX_REFS)) {
			*seen = word;
			return false;
		}
	} while (unlikely(!atomic_cmpxchg(&r->word, &word, word + 1)));
	return true;
}

static inline void put(struct frame_record *r)
{
	u64 old = __atomic_fetch_sub(&r->word, 1, __ATOMIC_SEQ_CST);

	if (unlikely(!(old & WORD_REFS)))
		panic("frame table: a dev_tlb reference was dropped that nobody held (word %lx)",
		      (unsigned long)old);
}

int frame_get_dev(mfn_t mfn, unsigned int order, u16 owner)
{
	u64 want = wanted_word(order, owner), seen;

	if (unlikely(!range_valid(mfn, order, 1)))
		return -EINVAL;
	if (unlikely(owner == OWNER_NONE))
		return -EPERM;
	if (likely(try_get(record_of(mfn, order), want, &seen)))
		return 0;
	return why_refused(seen, want, order);
}

int frame_get_dev_many(mfn_t mfn, unsigned int order, u64 nr, u16 owner)
{
	u64 want = wanted_word(order, owner), seen;
	struct frame_record *r;

	if (!range_valid(mfn, order, nr))
		return -EINVAL;
	if (owner == OWNER_NONE)
		return -EPERM;
	r = record_of(mfn, order);
	for (u64 i = 0; i < nr; i++) {
		if (likely(try_get(&r[i], want, &seen)))
			continue;
		while (i--)
			put(&r[i]);
		return why_refused(seen, want, order);
	}
	return 0;
}

void frame_put_dev(mfn_t mfn, unsigned int order)
{
	BUG_ON(!frame_valid(mfn));
	put(record_of(mfn, order));
}

void frame_put_dev_many(mfn_t mfn, unsigned int order, u64 nr)
{
	struct frame_record *r;

	BUG_ON(!range_valid(mfn, order, nr));
	r = record_of(mfn, order);
	for (u64 i = 0; i < nr; i++)
		put(&r[i]);
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
			put((struct frame_record *)((char *)frame_records +
						    ((w & address) >> RECORD_SHIFT)));
	}
	return nr - skipped;
}

/* Count a reference on a block whose frames are all held by the caller, so all RAM of `owner`
 * whatever its word says. */
static void hold_block(struct frame_record *block, u16 owner)
{
	u64 word = read_once(&block->word);

	while (!atomic_cmpxchg(&block->word, &word, ((word & ~WORD_OWNER) | owner_field(owner)) + 1))
		;
}

static void check_block(mfn_t mfn, unsigned int order)
{
	if ((order != ORDER_2M && order != ORDER_1G) || !range_valid(mfn, order, 1))
		panic("frame table: %lx is no block of order %u", (unsigned long)mfn, order);
}

/* Count a reference on each of 512 frames. */
static void hold_frames(struct frame_record *r)
{
#pragma GCC unroll 32
	for (u64 i = 0; i < PARTS; i++)
		(void)atomic_add(&r[i].word, 1);
}

/* The same for 512 blocks of one owner; those that a setter has left mixed (no bit of an owner) get it back. */
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
	put(record_of(mfn, order));
}

void frame_merge_dev(mfn_t mfn, unsigned int order)
{
	struct frame_record *part;

	check_block(mfn, order);
	part = record_of(mfn, order - PART_SHIFT);
	hold_block(record_of(mfn, order), word_owner(read_once(&frame_records[mfn].word)));
	for (u64 i = 0; i < PARTS; i++)
		put(&part[i]);
}

/* --- what others keep in a record ----------------------------------------------------------------------------------- */

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
	/* A free frame has no references and its word no other writer than the allocator, so no
	 * atomic change is needed. */
	u64 word = read_once(&frame_records[mfn].word) & ~FRAME_ORDER;

	write_once(&frame_records[mfn].word, word | FIELD_PREP(FRAME_ORDER, order + 1));
}
