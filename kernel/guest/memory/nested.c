/* Nested page tables: one walker over 4 levels of 512 entries.
 *
 *	guest frame   | 9 bits | 9 bits | 9 bits | 9 bits |
 *	               level 4  level 3  level 2  level 1
 *	                          1 GiB    2 MiB    4 KiB  leaves
 *
 * An entry is empty (0), a table, a leaf, or a tombstone. Both AMD's and Intel's hardware ignores
 * an entry whose bits 2:0 are zero, so Weir defines the tombstone's format, and it is the same for
 * every back end:
 *
 *	62..52 batch number | 51..12 frame | 3 tombstone | 2..0 zero
 *
 * Tables are not freed before the domain ends: a CPU may have a pointer to a table cached, which
 * would need a flush of its own. The memory size of a guest limits the number of its tables.
 */
#include <kernel/guest/memory/nested.h>

#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

#define LEVELS 4
#define ENTRIES 512
#define ADDRESS MASK(51, 12)

#define TOMB_MARK BIT(3)
#define TOMB_NUMBER MASK(62, 52)

const struct nested_format *nested_format;

static unsigned int level_order(unsigned int level)
{
	return 9 * (level - 1);
}

static u64 level_frames(unsigned int level)
{
	return 1UL << level_order(level);
}

static unsigned int index_of(gfn_t gfn, unsigned int level)
{
	return (gfn >> level_order(level)) & (ENTRIES - 1);
}

static bool in_range(gfn_t gfn, u64 nr)
{
	_Static_assert(NESTED_LAST + 1 == 1UL << 9 * LEVELS, "all that the root covers");
	return nr && gfn <= NESTED_LAST && nr <= NESTED_LAST + 1 - gfn;
}

static bool is_tombstone(u64 e)
{
	return !(e & nested_format->present) && (e & TOMB_MARK);
}

static bool is_leaf(u64 e, unsigned int level)
{
	return (e & nested_format->present) && (level == 1 || (e & nested_format->superpage));
}

static bool is_table(u64 e, unsigned int level)
{
	return (e & nested_format->present) && !is_leaf(e, level);
}

/* Frame number of a leaf or tombstone. The low address bits of a superpage entry may hold
 * attributes. */
static mfn_t entry_mfn(u64 e, unsigned int level)
{
	return ALIGN_DOWN((e & ADDRESS) >> PAGE_SHIFT, level_frames(level));
}

/* The same, as an address in the format of a tombstone. */
static u64 leaf_address(u64 e, unsigned int level)
{
	return entry_mfn(e, level) << PAGE_SHIFT;
}

/* --- tables --------------------------------------------------------------- */

static u64 *new_table(struct nested *n)
{
	u64 *t = alloc_page();

	if (!t)
		return NULL;
	if (frame_set(virt_to_mfn(t), 0, FRAME_NESTED_TABLE, n->owner))
		panic("frame table: the fresh page 0x%lx cannot be a nested table", virt_to_mfn(t));
	n->tables++;
	return t;
}

static void drop_table(struct nested *n, u64 *t)
{
	n->tables--;
	free_page(t);
}

int nested_init(struct nested *n, u16 owner)
{
	u64 *root;

	memset(n, 0, sizeof(*n));
	spin_init(&n->lock, LOCK_NESTED);
	n->owner = owner;
	n->generation = 1;
	root = new_table(n);
	if (!root)
		return -ENOMEM;
	n->root = virt_to_phys(root);
	return 0;
}

/* Free the tables behind the entries of this one. False: the budget of tables was used up first. */
static bool free_below(struct nested *n, u64 *table, unsigned int level, u32 *budget)
{
	for (unsigned int i = 0; level > 1 && i < ENTRIES; i++) {
		u64 *below = phys_to_virt(table[i] & ADDRESS);

		if (!table[i])
			continue;
		BUG_ON(!is_table(table[i], level));
		if (!free_below(n, below, level - 1, budget) || !*budget)
			return false;
		(*budget)--;
		table[i] = 0;
		drop_table(n, below);
	}
	return true;
}

enum step nested_free_step(struct nested *n)
{
	u32 budget = NESTED_STEP_TABLES;

	assert_locked(&n->lock);
	return free_below(n, phys_to_virt(n->root), LEVELS, &budget) ? STEP_DONE : STEP_MORE;
}

void nested_free(struct nested *n)
{
	if (!n->root)
		return;
	spin_lock(&n->lock);
	while (nested_free_step(n))
		;
	spin_unlock(&n->lock);
	drop_table(n, phys_to_virt(n->root));
	BUG_ON(n->tables);
	n->root = 0;
}

void nested_add_tlb(struct nested *n, const struct nested_tlb *tlb)
{
	BUG_ON(n->nr_tlbs == DOMAIN_MAX_VCPUS);
	n->tlb[n->nr_tlbs] = tlb;
	store_release(&n->nr_tlbs, n->nr_tlbs + 1);
}

/* --- mapping -------------------------------------------------------------- */

/* The entry for gfn at the lowest existing level >= stop. With `grow`, missing tables are created
 * on the way down to `stop`. NULL: no memory. */
static u64 *descend(struct nested *n, gfn_t gfn, unsigned int stop, bool grow, unsigned int *level)
{
	u64 *table = phys_to_virt(n->root);

	for (*level = LEVELS;; (*level)--) {
		u64 *e = &table[index_of(gfn, *level)];

		if (*level == stop)
			return e;
		if (!*e && grow) {
			u64 *t = new_table(n);

			if (!t)
				return NULL;
			write_once(e, nested_format->table(virt_to_phys(t)));
		}
		if (!is_table(*e, *level))
			return e;
		table = phys_to_virt(*e & ADDRESS);
	}
}

/* Replace a superpage leaf with a table of 512 equivalent leaves. A single store switches from one
 * to the other, so the CPU sees either. */
static bool split(struct nested *n, u64 *e, unsigned int level)
{
	u64 *t = new_table(n);
	mfn_t mfn = entry_mfn(*e, level);
	u32 flags = nested_format->flags(*e);

	if (!t)
		return false;
	for (unsigned int i = 0; i < ENTRIES; i++)
		t[i] = nested_format->leaf((mfn + i * level_frames(level - 1)) << PAGE_SHIFT,
					   level - 1, flags);
	store_release(e, nested_format->table(virt_to_phys(t)));
	n->entries[level - 1]--;
	n->entries[level - 2] += ENTRIES;
	return true;
}

static unsigned int largest_level(gfn_t gfn, mfn_t mfn, u64 nr)
{
	unsigned int level = nested_format->has_1g ? 3 : 2;

	while (level > 1) {
		u64 frames = level_frames(level);

		if (IS_ALIGNED(gfn | mfn, frames) && nr >= frames)
			break;
		level--;
	}
	return level;
}

int nested_map_walk(struct nested_walk *w, mfn_t mfn, u32 flags)
{
	struct nested *n = w->nested;

	assert_locked(&n->lock);
	if (!in_range(w->gfn, w->last - w->gfn + 1))
		return -EINVAL;

	while (w->gfn <= w->last && w->budget) {
		unsigned int want = largest_level(w->gfn, mfn, w->last - w->gfn + 1), level;
		u64 *e = descend(n, w->gfn, want, true, &level);

		if (!e)
			return -ENOMEM;
		while (level == want && is_table(*e, level)) {
			want--;
			e = descend(n, w->gfn, want, true, &level);
			if (!e)
				return -ENOMEM;
		}
		if (is_tombstone(*e))
			return -EAGAIN;
		if (*e)
			return -EEXIST;
		store_release(e, nested_format->leaf(mfn << PAGE_SHIFT, level, flags));
		n->entries[level - 1]++;
		mfn += level_frames(level);
		w->gfn += level_frames(level);
		w->budget--;
	}
	return 0;
}

int nested_map(struct nested *n, gfn_t gfn, mfn_t mfn, u64 nr, u32 flags, u64 *done)
{
	struct nested_walk w = { n, gfn, gfn + nr - 1, ~0UL };
	int ret = in_range(gfn, nr) ? nested_map_walk(&w, mfn, flags) : -EINVAL;

	*done = w.gfn - gfn;
	return ret;
}

/* --- walks ---------------------------------------------------------------- */

/* Frames from gfn to the end of the entry that covers it at this level. */
static u64 rest_of_entry(gfn_t gfn, unsigned int level)
{
	return level_frames(level) - (gfn & (level_frames(level) - 1));
}

/* The current entry of the walk, at the lowest existing level. NULL: the walk is finished, or its
 * budget is used up. */
static u64 *entry_at(struct nested_walk *w, unsigned int *level)
{
	if (w->gfn > MIN(w->last, NESTED_LAST) || !w->budget)
		return NULL;
	w->budget--;
	return descend(w->nested, w->gfn, 1, false, level);
}

enum step nested_walk_state(const struct nested_walk *w)
{
	return w->gfn > w->last ? STEP_DONE : STEP_MORE;
}

/* Clear the leaves that map devices (device = NESTED_DEVICE) or those that map RAM (device = 0). A
 * nonzero `tombstone` replaces them, combined with the address of the leaf's frame. Returns the
 * number of frames that were mapped. */
static u64 clear_leaves(struct nested_walk *w, u32 device, u64 tombstone)
{
	struct nested *n = w->nested;
	u64 *e, cleared = 0;
	unsigned int level;

	assert_locked(&n->lock);
	while ((e = entry_at(w, &level))) {
		u64 rest = rest_of_entry(w->gfn, level), left = w->last - w->gfn + 1;

		if (is_leaf(*e, level) && (nested_format->flags(*e) & NESTED_DEVICE) == device) {
			if (rest < level_frames(level) || left < rest) {
				if (!split(n, e, level))
					break;
				continue;
			}
			store_release(e, tombstone ? tombstone | leaf_address(*e, level) : 0);
			n->entries[level - 1]--;
			cleared += level_frames(level);
		}
		w->gfn += MIN(rest, left);
	}
	if (cleared)
		n->generation++;
	return cleared;
}

u64 nested_unmap(struct nested_walk *w, u32 number)
{
	return clear_leaves(w, 0, TOMB_MARK | FIELD_PREP(TOMB_NUMBER, number));
}

u64 nested_unmap_device(struct nested_walk *w)
{
	return clear_leaves(w, NESTED_DEVICE, 0);
}

struct nested_leaf nested_lookup(struct nested *n, gfn_t gfn)
{
	struct nested_leaf leaf = { .mfn = INVALID_MFN };
	unsigned int level;
	u64 *e;

	assert_locked(&n->lock);
	if (!in_range(gfn, 1))
		return leaf;
	e = descend(n, gfn, 1, false, &level);
	leaf.order = level_order(level);
	if (is_leaf(*e, level)) {
		leaf.flags = nested_format->flags(*e);
		leaf.mfn = entry_mfn(*e, level) + (gfn & (level_frames(level) - 1));
	} else if (is_tombstone(*e)) {
		leaf.tombstone = true;
	}
	return leaf;
}

void *nested_ram(const struct nested *n, gfn_t gfn, unsigned int *order)
{
	const struct nested_format *f = nested_format;
	const u64 *table = phys_to_virt(n->root);
	u64 e, place;

	assert_locked(&n->lock);
	if (gfn > NESTED_LAST)
		return NULL;
	for (*order = level_order(LEVELS);; *order -= level_order(2)) {
		e = table[gfn >> *order & (ENTRIES - 1)];
		if (!(e & f->present))
			return NULL;
		if (!*order || (e & f->superpage))
			break;
		table = phys_to_virt(e & ADDRESS);
	}
	if (e & f->device)
		return NULL;
	place = ((1UL << *order) - 1) << PAGE_SHIFT;
	return phys_to_virt((e & ADDRESS & ~place) | (gfn << PAGE_SHIFT & place));
}

/* Take the frames of the leaf or tombstone from the walk's place on, at most one piece. The entry
 * is cleared with its last piece. */
static void take_piece(struct nested_walk *w, u64 *e, unsigned int level, struct nested_leaf *taken)
{
	u64 place = w->gfn & (level_frames(level) - 1), cost;
	unsigned int order = MIN(level_order(level), (unsigned int)NESTED_PIECE_ORDER);

	BUG_ON(place & (BIT(order) - 1)); /* the walk began before the entry, or at a piece */
	taken->mfn = entry_mfn(*e, level) + place;
	taken->order = order;
	cost = order == NESTED_PIECE_ORDER ? NESTED_PIECE_COST : NESTED_PAGE_COST;
	w->budget -= MIN(w->budget, cost);
	w->gfn += BIT(order);
	if (place + BIT(order) == level_frames(level))
		*e = 0;
}

bool nested_take_tombstone(struct nested_walk *w, u32 number, struct nested_leaf *taken)
{
	unsigned int level;
	u64 *e;

	assert_locked(&w->nested->lock);
	while ((e = entry_at(w, &level))) {
		if (is_tombstone(*e) && FIELD_GET(TOMB_NUMBER, *e) == number) {
			*taken = (struct nested_leaf){ .tombstone = true };
			take_piece(w, e, level, taken);
			return true;
		}
		w->gfn += rest_of_entry(w->gfn, level);
	}
	return false;
}

bool nested_take_leaf(struct nested_walk *w, struct nested_leaf *taken)
{
	unsigned int level;
	u64 *e;

	assert_locked(&w->nested->lock);
	while ((e = entry_at(w, &level))) {
		BUG_ON(is_tombstone(*e)); /* all of this domain's batches have been released */
		if (is_leaf(*e, level)) {
			*taken = (struct nested_leaf){ .flags = nested_format->flags(*e) };
			take_piece(w, e, level, taken);
			w->nested->entries[level - 1] -= !*e;
			w->nested->generation++;
			return true;
		}
		w->gfn += rest_of_entry(w->gfn, level);
	}
	return false;
}
