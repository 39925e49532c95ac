/* Nested page tables: one walker over 4 levels of 512 entries.
 *
 *	guest frame   | 9 bits | 9 bits | 9 bits | 9 bits |
 *	               level 4  level 3  level 2  level 1
 *	                          1 GiB    2 MiB    4 KiB  leaves
 *
 * An entry is empty (0), a table, a leaf, or a tombstone. All hardware ignores an entry whose bits 2:0 are zero, so the
 * tombstone's format is ours and the same for every back end:
 *
 *	62..52 batch number | 51..12 frame | 4 device | 3 tombstone | 2..0 zero
 *
 * Tables are not freed before the domain ends: a walker's cached pointer to one would need a flush of its own, and a
 * guest's tables are bounded by its memory size.
 */

#include <kernel/guest/memory/nested.h>

#include <kernel/mm/alloc.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/lib/string.h>

#define LEVELS 4
#define ENTRIES 512
#define ADDRESS MASK(51, 12)

#define TOMB_MARK BIT(3)
#define TOMB_DEVICE BIT(4)
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
	gfn_t limit = 1UL << level_order(LEVELS + 1);

	return nr && gfn < limit && nr <= limit - gfn;
}

static bool is_tombstone(u64 e)
{
	return !nested_format->present(e) && (e & TOMB_MARK);
}

static bool is_leaf(u64 e, unsigned int level)
{
	return nested_format->present(e) && (level == 1 || nested_format->is_leaf(e, level));
}

static bool is_table(u64 e, unsigned int level)
{
	return nested_format->present(e) && !is_leaf(e, level);
}

/* Frame number of a leaf or tombstone; the low address bits of a superpage entry may hold
 * attributes. */
static mfn_t entry_mfn(u64 e, unsigned int level)
{
	return ALIGN_DOWN((e & ADDRESS) >> PAGE_SHIFT, level_frames(level));
}

static u64 *new_table(struct nested *n)
{
	u64 *t = alloc_page();

	if (!t)
		return NULL;
	if (frame_set(virt_to_mfn(t), 0, FRAME_NESTED_TABLE, n->owner))
		panic("frame table: a fresh page 0x%lx cannot become a nested table", virt_to_mfn(t));
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

/* The entry for gfn at the lowest level >= stop that exists; with grow, missing tables are made on
 * the way down to `stop`. NULL: no memory. */
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

/* Replace a superpage leaf by a table of 512 that says the same. The CPU sees one or the other: a
 * single store. */
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

	while (level > 1 && (!IS_ALIGNED(gfn | mfn, level_frames(level)) || nr < level_frames(level)))
		level--;
	return level;
}

int nested_map(struct nested *n, gfn_t gfn, mfn_t mfn, u64 nr, u32 flags, u64 *done)
{
	*done = 0;
	if (!in_range(gfn, nr))
		return -EINVAL;

	while (*done < nr) {
		unsigned int want = largest_level(gfn + *done, mfn + *done, nr - *done), level;
		u64 *e = descend(n, gfn + *done, want, true, &level);

		if (!e)
			return -ENOMEM;
		while (level == want && is_table(*e, level)) {
			want--;
			e = descend(n, gfn + *done, want, true, &level);
			if (!e)
				return -ENOMEM;
		}
		if (is_tombstone(*e))
			return -EAGAIN;
		if (*e)
			return -EEXIST;
		store_release(e, nested_format->leaf((mfn + *done) << PAGE_SHIFT, level, flags));
		n->entries[level - 1]++;
		*done += level_frames(level);
	}
	return 0;
}

/* Frames from gfn to the end of the entry that covers it at this level. */
static u64 rest_of_entry(gfn_t gfn, unsigned int level)
{
	return level_frames(level) - (gfn & (level_frames(level) - 1));
}

u64 nested_unmap(struct nested *n, gfn_t gfn, u64 nr, u32 number, unsigned int budget, u64 *unmapped)
{
	u64 passed = 0;

	*unmapped = 0;
	if (!in_range(gfn, nr))
		return 0;

	while (passed < nr && budget--) {
		unsigned int level;
		u64 *e = descend(n, gfn + passed, 1, false, &level);
		u64 step = rest_of_entry(gfn + passed, level);

		if (is_leaf(*e, level) && !(nested_format->flags(*e) & NESTED_DEVICE)) {
			if (step < level_frames(level) || nr - passed < step) {
				if (!split(n, e, level))
					break;
				continue;
			}
			store_release(e, FIELD_PREP(TOMB_NUMBER, number) | TOMB_MARK |
						 entry_mfn(*e, level) << PAGE_SHIFT);
			n->entries[level - 1]--;
			*unmapped += level_frames(level);
		}
		passed += MIN(step, nr - passed);
	}
	if (*unmapped)
		n->generation++;
	return passed;
}

u64 nested_unmap_device(struct nested *n, gfn_t gfn, u64 nr)
{
	u64 passed = 0, unmapped = 0;

	if (!in_range(gfn, nr))
		return 0;

	while (passed < nr) {
		unsigned int level;
		u64 *e = descend(n, gfn + passed, 1, false, &level);
		u64 step = rest_of_entry(gfn + passed, level);

		if (is_leaf(*e, level) && (nested_format->flags(*e) & NESTED_DEVICE)) {
			if (step < level_frames(level) || nr - passed < step) {
				if (!split(n, e, level))
					break;
				continue;
			}
			store_release(e, 0UL);
			n->entries[level - 1]--;
			unmapped += level_frames(level);
		}
		passed += MIN(step, nr - passed);
	}
	if (unmapped)
		n->generation++;
	return passed;
}

void nested_add_tlb(struct nested *n, const struct nested_tlb *tlb)
{
	BUG_ON(n->nr_tlbs == DOMAIN_MAX_VCPUS);
	n->tlb[n->nr_tlbs] = tlb;
	store_release(&n->nr_tlbs, n->nr_tlbs + 1);
}

enum step nested_release(struct nested *n, gfn_t *gfn, gfn_t last, u32 number, unsigned int budget,
			 void (*fn)(void *ctx, mfn_t mfn, unsigned int order, u32 flags), void *ctx)
{
	while (*gfn <= last && budget--) {
		unsigned int level;
		u64 *e = descend(n, *gfn, 1, false, &level);

		if (is_tombstone(*e) && FIELD_GET(TOMB_NUMBER, *e) == number) {
			mfn_t mfn = entry_mfn(*e, level);

			*e = 0;
			fn(ctx, mfn, level_order(level), NESTED_RAM);
		}
		*gfn += rest_of_entry(*gfn, level);
	}
	return *gfn > last ? STEP_DONE : STEP_MORE;
}

struct nested_leaf nested_lookup(struct nested *n, gfn_t gfn)
{
	struct nested_leaf leaf = { .mfn = INVALID_MFN };
	unsigned int level;
	u64 *e;

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

/* Clear the first leaf at or above *gfn, with its frames in the result; false when there is none
 * any more. */
static bool take_leaf(u64 *table, unsigned int level, gfn_t base, gfn_t *gfn, mfn_t *mfn,
		      unsigned int *order, u32 *flags, struct nested *n, unsigned int *budget)
{
	for (unsigned int i = *gfn > base ? index_of(*gfn, level) : 0; i < ENTRIES; i++) {
		gfn_t at = base + i * level_frames(level);
		u64 e = table[i];

		if (!*budget)
			return false;
		(*budget)--;
		*gfn = MAX(*gfn, at);
		BUG_ON(is_tombstone(e)); /* all batches of this domain are done by now */
		if (is_leaf(e, level)) {
			*mfn = entry_mfn(e, level);
			*order = level_order(level);
			*flags = nested_format->flags(e);
			n->entries[level - 1]--;
			table[i] = 0;
			return true;
		}
		if (e && take_leaf(phys_to_virt(e & ADDRESS), level - 1, at, gfn, mfn, order, flags,
				   n, budget))
			return true;
	}
	return false;
}

enum step nested_empty(struct nested *n, gfn_t *gfn, unsigned int budget,
		       void (*fn)(void *ctx, mfn_t mfn, unsigned int order, u32 flags), void *ctx)
{
	unsigned int order;
	u32 flags;
	mfn_t mfn;

	while (take_leaf(phys_to_virt(n->root), LEVELS, 0, gfn, &mfn, &order, &flags, n, &budget))
		fn(ctx, mfn, order, flags);
	return budget ? STEP_DONE : STEP_MORE;
}

static void free_below(struct nested *n, u64 *table, unsigned int level)
{
	for (unsigned int i = 0; level > 1 && i < ENTRIES; i++) {
		u64 e = table[i];

		BUG_ON(e && !is_table(e, level));
		if (e)
			free_below(n, phys_to_virt(e & ADDRESS), level - 1);
	}
	drop_table(n, table);
}

void nested_free(struct nested *n)
{
	if (!n->root)
		return;
	free_below(n, phys_to_virt(n->root), LEVELS);
	BUG_ON(n->tables);
	n->root = 0;
}
