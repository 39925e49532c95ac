/* Second-stage tables (VT-d 9.8): their format, and the release of what was unmapped.
 *
 *	device frame  | 9 | 9 | 9 | 9 | 9 |     levels 5 (or 4, or 3) down to 1
 *	                        |   |   `-- 4 KiB leaves
 *	                        |   `------ 2 MiB leaves, or tables
 *	                        `---------- 1 GiB leaves, or tables
 *
 * An entry is one of
 *
 *	empty        0
 *	leaf         R or W, PS above level 1; holds one dev_tlb reference on the frame or block
 *	             that it maps
 *	table        R and W
 *	tombstone    R = W = 0, so the hardware ignores the rest: a leaf or a table that was
 *	             unmapped and may still be cached
 *
 *	tombstone:   62..52 batch number | 51..12 address, as it was | 7 as it was | 4 table
 *	             | 3 tombstone | 2..0 zero
 *
 * Where 512 leaves fill a table and form one aligned block, they hold one reference on that block
 * instead ("whole"), until one of them is unmapped or split.
 *
 * A leaf's tombstone keeps the reference. A table's tombstone keeps everything below it as it
 * was, since a walker may have the pointer cached. Only the release of the batch with this number
 * clears it. A table's frame record counts its present entries and its tombstones.
 *
 * Unmapping writes the fewest entries: where a whole table is unmapped, its own entry becomes the
 * tombstone, and the release walks the table. That is refused where the table has tombstones of
 * earlier batches: batches may be answered in any order (a batch waits for units and CPUs), and a
 * later batch could free the table under those tombstones. Such a table is emptied entry by
 * entry.
 */
#include <iommu/table.h>

#include <kernel/core/panic.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frameref.h>

/* --- tables --------------------------------------------------------------- */

u64 *table_alloc_raw(struct iommu_domain *d)
{
	/* It becomes a table at once, without being Weir's first. */
	mfn_t mfn = alloc_untyped(0);

	if (mfn == INVALID_MFN)
		return NULL;
	if (frame_set(mfn, ORDER_4K, FRAME_IO_TABLE, d->owner))
		panic("frame table: a fresh page 0x%lx cannot become an I/O table", mfn);
	return mfn_to_virt(mfn);
}

u64 *table_alloc(struct iommu_domain *d)
{
	u64 *t = table_alloc_raw(d);

	return t ? memset(t, 0, PAGE_SIZE) : NULL;
}

void table_free(struct iommu_domain *d, u64 *table)
{
	d->tables--;
	d->counters.io_tables_freed++;
	free_page(table);
}

int table_init(struct iommu_domain *d)
{
	d->root = table_alloc(d);
	if (!d->root)
		return -ENOMEM;
	d->tables = 1;
	iommu_write_back(d, d->root, PAGE_SIZE);
	return 0;
}

/* --- release -------------------------------------------------------------- */

/* What freeing a table takes from a budget of entries: it takes as long as clearing that many. */
#define TABLE_COST 8

static void spend(u32 *budget, u32 cost)
{
	*budget -= MIN(*budget, cost);
}

/* Clear the entry, drop its reference and take it out of the counts. No walker can use it, so
 * nothing is written back. */
static void clear_leaf(struct iommu_domain *d, u64 *e, unsigned int level)
{
	if (is_present(*e))
		d->entries[level - 1]--;
	else
		d->tombstones--;
	if (!(*e & SS_NOT_RAM)) {
		frame_put_dev(mfn_of(*e), order_of(level));
		d->references--;
	}
	write_once(e, 0UL);
}

/* As empty_table() for a table of 4 KiB leaves, all at once. The entries stay as they are: the
 * table is freed next. */
static void empty_leaf_table(struct iommu_domain *d, u64 *table, u32 *budget)
{
	const struct frame_table_counts *c = counts(table);

	d->references -= frame_put_dev_words(table, ENTRIES, SS_ADDR, SS_NOT_RAM);
	d->entries[0] -= c->present;
	d->tombstones -= c->tombstones;
	spend(budget, (u32)c->present + c->tombstones);
}

static bool empty_table(struct iommu_domain *d, u64 *table, unsigned int level, u32 *budget);

/* Release what the entry holds. False: the budget was used up first. */
static bool empty_entry(struct iommu_domain *d, u64 *e, unsigned int level, u32 *budget)
{
	if (!*budget)
		return false;
	if (!holds_table(*e, level)) {
		clear_leaf(d, e, level);
		(*budget)--;
		return true;
	}
	if (!empty_table(d, table_at(*e), level - 1, budget))
		return false;
	d->tombstones -= is_tombstone(*e);
	*e = 0;
	return true;
}

/* Release all that is in a table that no walker can reach, and the table. False: the budget was
 * used up first. */
static bool empty_table(struct iommu_domain *d, u64 *table, unsigned int level, u32 *budget)
{
	if (!*budget)
		return false;
	if (counts(table)->whole) {
		frame_put_dev(mfn_of(table[0]), order_of(level + 1));
		d->references--;
		d->entries[level - 1] -= ENTRIES;
	} else if (level == 1) {
		empty_leaf_table(d, table, budget);
	} else {
		for (unsigned int i = 0; i < ENTRIES; i++)
			if (table[i] && !empty_entry(d, &table[i], level, budget))
				return false;
	}
	table_free(d, table);
	spend(budget, TABLE_COST);
	return true;
}

/* Release the part from b->next on that lies in the entry that covers it. True: that entry is
 * finished. */
static bool release_entry(struct iommu_batch *b, u32 *budget)
{
	struct iommu_domain *d = b->domain;
	unsigned int level = iommu_common.levels;
	u64 *table = d->root, *e;

	for (;; level--) {
		e = &table[index_of(b->next, level)];
		if (!is_table(*e, level))
			break;
		table = table_at(*e);
	}
	if (is_own_tombstone(*e, b->number)) {
		if (holds_table(*e, level)) {
			if (!empty_table(d, table_at(*e), level - 1, budget))
				return false;
			d->tombstones--;
			write_once(e, 0UL);
		} else {
			clear_leaf(d, e, level);
		}
		counts(table)->tombstones--;
	}
	b->next = ALIGN_DOWN(b->next, frames_of(level)) + frames_of(level);
	return true;
}

/* Free one table that a collapse took out of use. */
static bool free_deferred(struct iommu_batch *b)
{
	mfn_t mfn = b->deferred;

	if (b->deferred == NO_TABLE)
		return false;
	b->deferred = frame_links(mfn)->next;
	table_free(b->domain, mfn_to_virt(mfn));
	return true;
}

enum step table_release(struct iommu_batch *b, u32 *budget)
{
	while (*budget && b->next <= b->last) {
		(*budget)--;
		if (!release_entry(b, budget))
			return STEP_MORE;
	}
	while (*budget && free_deferred(b))
		spend(budget, TABLE_COST);
	return *budget ? STEP_DONE : STEP_MORE;
}

enum step table_destroy_step(struct iommu_domain *d)
{
	u32 budget = ENTRIES;

	if (!empty_table(d, d->root, iommu_common.levels, &budget))
		return STEP_MORE;
	d->root = NULL;
	return STEP_DONE;
}

unsigned int table_walk(struct iommu_domain *d, dfn_t dfn, u64 entry[5], mfn_t *mfn)
{
	unsigned int n = 0;
	u64 *table;

	*mfn = INVALID_MFN;
	spin_lock(&d->lock);
	table = d->root;
	for (unsigned int level = iommu_common.levels; table && table_in_width(dfn, 1); level--) {
		u64 e = table[index_of(dfn, level)];

		entry[n++] = e;
		if (is_leaf(e, level) || (is_tombstone(e) && !(e & TOMB_TABLE)))
			*mfn = ALIGN_DOWN(mfn_of(e), frames_of(level)) +
			       (dfn & (frames_of(level) - 1));
		if (!is_table(e, level))
			break;
		table = table_at(e);
	}
	spin_unlock(&d->lock);
	return n;
}
