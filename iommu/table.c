/* Second-stage tables (VT-d 9.8): map, unmap, split, collapse, release.
 *
 *	device frame  | 9 | 9 | 9 | 9 | 9 |     levels 5 (or 4, or 3) down to 1
 *	                        |   |   `-- 4 KiB leaves
 *	                        |   `------ 2 MiB leaves, or tables
 *	                        `---------- 1 GiB leaves, or tables
 *
 * An entry is one of
 *
 *	empty        0
 *	leaf         R or W, PS above level 1; holds one dev_tlb reference on the frame or block it maps
 *	table        R and W
 *	tombstone    R = W = 0, so the hardware ignores the rest: a leaf or a table that was unmapped and may still be cached
 *
 *	tombstone:   62..52 batch number | 51..12 address, as it was | 7 as it was | 4 table | 3 tombstone | 2..0 zero
 *
 * A leaf's tombstone keeps the reference; a table's keeps everything below it as it was, since a walker may have the pointer
 * cached. Only the release of the batch with this number clears it. A table's frame record counts its present entries and
 * its tombstones.
 *
 * Unmapping writes the fewest entries: where a whole table goes, its own entry becomes the tombstone, and the release walks
 * it. That is refused where the table has tombstones of earlier batches, since those would lose their place; they may be
 * answered in any order (a batch waits for units and CPUs). Then it is emptied entry by entry.
 */
#include <iommu/table.h>

#include <kernel/alloc.h>
#include <kernel/atomic.h>
#include <kernel/errno.h>
#include <kernel/frame.h>
#include <kernel/paging.h>
#include <kernel/panic.h>
#include <kernel/string.h>

#define ENTRIES 512u
#define TOMB_MARK BIT(3)
#define TOMB_TABLE BIT(4)
#define TOMB_NUMBER MASK(62, 52)

static unsigned int order_of(unsigned int level)
{
	return 9 * (level - 1);
}

static u64 frames_of(unsigned int level)
{
	return 1UL << order_of(level);
}

static unsigned int index_of(dfn_t dfn, unsigned int level)
{
	return (dfn >> order_of(level)) & (ENTRIES - 1);
}

static bool is_present(u64 e)
{
	return e & (SS_R | SS_W);
}

static bool is_leaf(u64 e, unsigned int level)
{
	return is_present(e) && (level == 1 || (e & SS_PS));
}

static bool is_table(u64 e, unsigned int level)
{
	return is_present(e) && !is_leaf(e, level);
}

bool table_is_tombstone(u64 e)
{
	return !is_present(e) && (e & TOMB_MARK);
}

static bool is_own_tombstone(u64 e, u32 number)
{
	return table_is_tombstone(e) && FIELD_GET(TOMB_NUMBER, e) == number;
}

static mfn_t mfn_of(u64 e)
{
	return (e & SS_ADDR) >> PAGE_SHIFT;
}

static u64 *table_at(u64 e)
{
	return phys_to_virt(e & SS_ADDR);
}

static u64 leaf(mfn_t mfn, unsigned int level, u32 perm)
{
	return mfn << PAGE_SHIFT | (perm & IOMMU_READ ? SS_R : 0) |
	       (perm & IOMMU_WRITE ? SS_W : 0) | (level > 1 ? SS_PS : 0);
}

static u64 tombstone(u64 e, unsigned int level, u32 number)
{
	return (e & (SS_ADDR | SS_PS)) | TOMB_MARK | (is_table(e, level) ? TOMB_TABLE : 0) |
	       FIELD_PREP(TOMB_NUMBER, number);
}

static struct frame_table_counts *counts(const u64 *table)
{
	return frame_table_counts(virt_to_mfn(table));
}

static void publish(u64 *e, u64 value)
{
	store_release(e, value);
	iommu_write_back(e, sizeof(*e));
}

/* --- tables ------------------------------------------------------------------------------------------------------------ */

u64 *table_alloc(struct iommu_domain *d)
{
	u64 *t = alloc_page();

	if (!t)
		return NULL;
	if (frame_set(virt_to_mfn(t), ORDER_4K, FRAME_IO_TABLE, d->owner))
		panic("frame table: a fresh page 0x%lx cannot become an I/O table", virt_to_mfn(t));
	return t;
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
	iommu_write_back(d->root, PAGE_SIZE);
	return 0;
}

static bool in_width(dfn_t dfn, u64 nr)
{
	dfn_t limit = frames_of(iommu_common.levels + 1);

	return nr && dfn < limit && nr <= limit - dfn;
}

static void touched(struct iommu_gather *g, dfn_t dfn, u64 nr)
{
	g->first = MIN(g->first, dfn);
	g->last = MAX(g->last, dfn + nr - 1);
	g->batch->changed = true;
}

static void unlinked(struct iommu_gather *g)
{
	g->structural = true;
	if (g->batch->structural)
		return;
	g->batch->structural = true;
	g->domain->structural++;
}

/* --- map --------------------------------------------------------------------------------------------------------------- */

/* Put an empty table behind an empty entry of `parent`. */
static u64 *grow(struct iommu_domain *d, u64 *parent, u64 *e)
{
	u64 *t = table_alloc(d);

	if (!t)
		return NULL;
	d->tables++;
	iommu_write_back(t, PAGE_SIZE);
	publish(e, virt_to_phys(t) | SS_R | SS_W);
	counts(parent)->present++;
	return t;
}

static unsigned int largest_level(dfn_t dfn, mfn_t mfn, u64 nr)
{
	unsigned int level = iommu_common.largest;

	while (level > 1 && (!IS_ALIGNED(dfn | mfn, frames_of(level)) || nr < frames_of(level)))
		level--;
	return level;
}

/* Fill consecutive entries of one table, the first of which may be in use: references first, then
 * the entries, then one write-back. */
static int fill(struct iommu_gather *g, u64 *table, unsigned int level, dfn_t dfn, mfn_t mfn,
		u64 nr, u32 perm)
{
	struct iommu_domain *d = g->domain;
	unsigned int first = index_of(dfn, level);
	int ret;

	if (table[first])
		return -EEXIST;
	ret = frame_get_dev_many(mfn, order_of(level), nr, d->owner);
	if (ret)
		return ret;
	for (u64 i = 0; i < nr; i++)
		store_release(&table[first + i], leaf(mfn + i * frames_of(level), level, perm));
	iommu_write_back(&table[first], nr * sizeof(*table));
	counts(table)->present += (u16)nr;
	d->entries[level - 1] += nr;
	d->references += nr;
	if (iommu_common.caching_mode)
		touched(g, dfn, nr * frames_of(level));
	return 0;
}

/* All 512 entries map one aligned, contiguous block alike: e gets the block's leaf, the table goes
 * after the flush. */
static void collapse(struct iommu_gather *g, u64 *e, unsigned int level, dfn_t dfn)
{
	struct iommu_domain *d = g->domain;
	u64 *table = table_at(*e), first = table[0];
	mfn_t mfn = virt_to_mfn(table);
	u64 step = frames_of(level - 1) << PAGE_SHIFT;

	if (level > iommu_common.largest || counts(table)->present != ENTRIES ||
	    !is_leaf(first, level - 1) || !IS_ALIGNED(mfn_of(first), frames_of(level)))
		return;
	for (unsigned int i = 1; i < ENTRIES; i++)
		if (table[i] != first + i * step)
			return;

	frame_merge_dev(mfn_of(first), order_of(level));
	publish(e, first | SS_PS);
	d->entries[level - 2] -= ENTRIES;
	d->entries[level - 1]++;
	d->references -= ENTRIES - 1;
	d->counters.io_collapses++;
	frame_links(mfn)->next = g->batch->orphans;
	g->batch->orphans = (u32)mfn;
	touched(g, ALIGN_DOWN(dfn, frames_of(level)), frames_of(level));
	unlinked(g);
}

/* Map as much from dfn on as lies in one table; how many frames, or the error. */
static s64 map_some(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm, unsigned int limit)
{
	unsigned int want = MIN(largest_level(dfn, mfn, nr), limit), level;
	u64 *table = g->domain->root, *path[6];
	u64 run;
	int ret;

	for (level = iommu_common.levels;; level--) {
		u64 *e = &table[index_of(dfn, level)];

		path[level] = e;
		if (table_is_tombstone(*e))
			return -EAGAIN;
		if (level <= want && !is_table(*e, level))
			break;
		if (is_leaf(*e, level))
			return -EEXIST;
		table = *e ? table_at(*e) : grow(g->domain, table, e);
		if (!table)
			return -ENOMEM;
	}

	run = MIN((u64)ENTRIES - index_of(dfn, level), nr / frames_of(level));
	for (u64 i = 1; i < run; i++)
		if (table[index_of(dfn, level) + i])
			run = i;
	ret = fill(g, table, level, dfn, mfn, run, perm);
	/* A block that became the domain's piece by piece has no owner as a whole (kernel/frame.c): it is
	 * mapped by its parts, and collapses when it is complete. */
	if (ret == -EPERM && level > 1)
		return map_some(g, dfn, mfn, frames_of(level), perm, level - 1);
	if (ret)
		return ret;
	for (unsigned int up = level + 1; up <= iommu_common.largest; up++)
		if (is_table(*path[up], up))
			collapse(g, path[up], up, dfn);
	return (s64)(run * frames_of(level));
}

int table_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm)
{
	u64 done = 0;

	if (!in_width(dfn, nr))
		return -ERANGE;
	if (!(perm & (IOMMU_READ | IOMMU_WRITE)))
		return -EINVAL;
	while (done < nr) {
		s64 ret = map_some(g, dfn + done, mfn + done, nr - done, perm, iommu_common.largest);

		if (ret < 0) {
			/* Where a collapse has joined older neighbours to it, this splits, from the
			 * gather's reserve. */
			if (done)
				table_unmap(g, dfn, done);
			return (int)ret;
		}
		done += (u64)ret;
	}
	return 0;
}

/* --- unmap ------------------------------------------------------------------------------------------------------------- */

/* Replace a superpage by a table that says the same, in one step: a device sees one or the
 * other. */
static void split(struct iommu_gather *g, u64 *e, unsigned int level)
{
	struct iommu_domain *d = g->domain;
	u64 old = *e, *t, step = frames_of(level - 1) << PAGE_SHIFT;

	BUG_ON(!g->batch->nr_reserve); /* two ragged ends need four tables at most */
	t = g->batch->reserve[--g->batch->nr_reserve];
	d->tables++;
	for (unsigned int i = 0; i < ENTRIES; i++)
		t[i] = (level == 2 ? old & ~SS_PS : old) + i * step;
	iommu_write_back(t, PAGE_SIZE);
	*counts(t) = (struct frame_table_counts){ .present = ENTRIES };
	frame_split_dev(mfn_of(old), order_of(level));
	if (!atomic_cmpxchg(e, &old, virt_to_phys(t) | SS_R | SS_W))
		panic("iommu: an entry of %s changed under its lock", d->name);
	iommu_write_back(e, sizeof(*e));
	d->entries[level - 1]--;
	d->entries[level - 2] += ENTRIES;
	d->references += ENTRIES - 1;
	d->counters.io_splits++;
	g->split = true;
}

static void bury(struct iommu_gather *g, u64 *table, u64 *e, unsigned int level)
{
	struct iommu_domain *d = g->domain;

	if (is_leaf(*e, level))
		d->entries[level - 1]--;
	store_release(e, tombstone(*e, level, g->batch->number));
	counts(table)->present--;
	counts(table)->tombstones++;
	g->batch->tombstones++;
	d->tombstones++;
}

/* True if the table at `level` may go as a whole when its entries first..last are unmapped: nothing
 * else is in it, and no earlier batch has a tombstone in it or below. (The batch's own lie behind,
 * where the unmapping came from.) */
static bool can_unlink(const struct iommu_gather *g, const u64 *table, unsigned int level,
		       unsigned int first, unsigned int last)
{
	unsigned int present = 0;

	if (g->domain->tombstones > g->batch->tombstones && (level > 1 || counts(table)->tombstones))
		return false;
	if (first == 0 && last == ENTRIES - 1)
		return true;
	if (level > 1)
		return false;
	for (unsigned int i = first; i <= last; i++)
		present += is_present(table[i]);
	return present == counts(table)->present;
}

/* [dfn, last] lies in one table. */
static void unmap_in(struct iommu_gather *g, u64 *table, unsigned int level, dfn_t dfn, dfn_t last)
{
	unsigned int i = index_of(dfn, level), end = index_of(last, level), changed_from = ENTRIES,
		     changed_to = 0;

	for (; i <= end; i++) {
		u64 *e = &table[i];
		dfn_t start = ALIGN_DOWN(dfn, frames_of(level)),
		      to = MIN(start + frames_of(level) - 1, last);

		if (is_leaf(*e, level) && to - dfn + 1 < frames_of(level))
			split(g, e, level);
		if (is_table(*e, level) &&
		    !can_unlink(g, table_at(*e), level - 1, index_of(dfn, level - 1),
				index_of(to, level - 1))) {
			unmap_in(g, table_at(*e), level - 1, dfn, to);
		} else if (is_present(*e)) {
			if (is_table(*e, level))
				unlinked(g);
			bury(g, table, e, level);
			changed_from = MIN(changed_from, i);
			changed_to = i;
		}
		dfn = to + 1;
	}
	if (changed_from <= changed_to)
		iommu_write_back(&table[changed_from],
				 (changed_to - changed_from + 1) * sizeof(*table));
}

void table_unmap(struct iommu_gather *g, dfn_t dfn, u64 nr)
{
	if (!in_width(dfn, nr))
		return;
	unmap_in(g, g->domain->root, iommu_common.levels, dfn, dfn + nr - 1);
	touched(g, dfn, nr);
}

/* --- release ------------------------------------------------------------------------------------------------------------ */

static bool holds_table(u64 e, unsigned int level)
{
	return is_table(e, level) || (table_is_tombstone(e) && (e & TOMB_TABLE));
}

/* Clear the entry: its reference and its place in the counts go. Nobody can use it, so nothing is
 * written back. */
static void clear_leaf(struct iommu_domain *d, u64 *e, unsigned int level)
{
	if (is_present(*e))
		d->entries[level - 1]--;
	else
		d->tombstones--;
	frame_put_dev(mfn_of(*e), order_of(level));
	d->references--;
	*e = 0;
}

/* Release all that is in a table that nobody can reach. False: the budget was used up first. */
static bool empty_table(struct iommu_domain *d, u64 *table, unsigned int level, unsigned int *budget)
{
	for (unsigned int i = 0; i < ENTRIES; i++) {
		u64 *e = &table[i];

		if (!*e)
			continue;
		if (!*budget)
			return false;
		if (!holds_table(*e, level)) {
			clear_leaf(d, e, level);
			(*budget)--;
			continue;
		}
		if (!empty_table(d, table_at(*e), level - 1, budget))
			return false;
		table_free(d, table_at(*e));
		d->tombstones -= table_is_tombstone(*e);
		*e = 0;
	}
	return true;
}

/* From b->next on, the part that lies in the entry that covers it. True: that entry is finished. */
static bool release_entry(struct iommu_batch *b, unsigned int *budget)
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
			table_free(d, table_at(*e));
			d->tombstones--;
			*e = 0;
		} else {
			clear_leaf(d, e, level);
		}
		counts(table)->tombstones--;
	}
	b->next = ALIGN_DOWN(b->next, frames_of(level)) + frames_of(level);
	return true;
}

static bool free_orphan(struct iommu_batch *b)
{
	mfn_t mfn = b->orphans;

	if (b->orphans == NO_ORPHAN)
		return false;
	b->orphans = frame_links(mfn)->next;
	table_free(b->domain, mfn_to_virt(mfn));
	return true;
}

bool table_release(struct iommu_batch *b, unsigned int budget)
{
	while (budget && b->next <= b->last) {
		budget--;
		if (!release_entry(b, &budget))
			return false;
	}
	while (budget && free_orphan(b))
		budget--;
	return budget > 0;
}

bool table_destroy_step(struct iommu_domain *d)
{
	unsigned int budget = ENTRIES;

	if (!empty_table(d, d->root, iommu_common.levels, &budget))
		return false;
	table_free(d, d->root);
	d->root = NULL;
	return true;
}

unsigned int table_walk(struct iommu_domain *d, dfn_t dfn, u64 entry[5], mfn_t *mfn)
{
	unsigned int n = 0;
	u64 *table;

	*mfn = INVALID_MFN;
	spin_lock(&d->lock);
	table = d->root;
	for (unsigned int level = iommu_common.levels; table && in_width(dfn, 1); level--) {
		u64 e = table[index_of(dfn, level)];

		entry[n++] = e;
		if (is_leaf(e, level) || (table_is_tombstone(e) && !(e & TOMB_TABLE)))
			*mfn = ALIGN_DOWN(mfn_of(e), frames_of(level)) +
			       (dfn & (frames_of(level) - 1));
		if (!is_table(e, level))
			break;
		table = table_at(e);
	}
	spin_unlock(&d->lock);
	return n;
}
