/* Unmapping in second-stage tables, and splitting superpages for it. The picture is in
 * iommu/table.c. */
#include <iommu/unmap.h>

#include <iommu/table.h>
#include <iommu/trace.h>
#include <kernel/core/panic.h>
#include <kernel/mm/frameref.h>

/* If the entries of a table hold one reference on the block that they form, give each its own
 * instead. */
static void split_reference(struct iommu_domain *d, u64 *table, unsigned int level)
{
	if (!counts(table)->whole)
		return;
	frame_split_dev(mfn_of(table[0]), order_of(level + 1));
	counts(table)->whole = false;
	d->references += ENTRIES - 1;
}

/* Put a table, filled to say the same, in the place of a superpage in one step: a device sees one
 * or the other. Uses up a table of the gather's reserve. */
static void split_superpage(struct iommu_gather *g, u64 *table, u64 *e, unsigned int level)
{
	struct iommu_domain *d = g->domain;
	u64 old = *e, *t, step = frames_of(level - 1) << PAGE_SHIFT;

	BUG_ON(!g->batch->nr_reserve); /* two ragged ends need four tables at most */
	split_reference(d, table, level);
	t = g->batch->reserve[--g->batch->nr_reserve];
	d->tables++;
	table_write_run(t, ENTRIES, level == 2 ? old & ~SS_PS : old, step);
	iommu_write_back(d, t, PAGE_SIZE);
	/* The superpage's reference stays where it is: it holds all that the table maps. */
	*counts(t) = (struct frame_table_counts){ .present = ENTRIES };
	counts(t)->whole = !(old & SS_NOT_RAM);
	if (!atomic_cmpxchg(e, &old, virt_to_phys(t) | SS_R | SS_W))
		panic("iommu: an entry of %s changed under its lock", d->name);
	iommu_write_back_entry(d, e);
	d->entries[level - 1]--;
	d->entries[level - 2] += ENTRIES;
	d->counters.io_splits++;
	trace(WEIR_TRACE_SPLIT, d->owner, (u16)g->batch->number, mfn_of(old), level);
	if (!g->batch->split) {
		g->batch->split = true;
		d->splits++;
	}
}

/* Make the entry a tombstone of the gather's batch. */
static inline void make_tombstone(struct iommu_gather *g, u64 *table, u64 *e, unsigned int level)
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

/* True if earlier batches have tombstones somewhere in the domain. */
static inline bool have_foreign_tombstones(const struct iommu_gather *g)
{
	return g->domain->tombstones > g->batch->tombstones;
}

/* True if an earlier batch may have a tombstone in this table, which has this level, or below: then
 * it must not be unlinked (decision 0008). One whose entries hold one reference has none. */
static inline bool may_hold_foreign_tombstones(const struct iommu_gather *g, const u64 *table,
					       unsigned int level)
{
	const struct frame_table_counts *c = counts(table);

	return !c->whole && have_foreign_tombstones(g) && (level > 1 || c->tombstones);
}

/* True if the table at `level` may be unlinked as a whole when [dfn, last], which lies in it, is
 * unmapped: nothing else is in it, and no earlier batch has a tombstone in it or below. (The
 * batch's own tombstones lie before dfn.) */
static bool can_unlink(const struct iommu_gather *g, const u64 *table, unsigned int level,
		       dfn_t dfn, dfn_t last)
{
	u64 frames = frames_of(level + 1);
	bool all = IS_ALIGNED(dfn, frames) && IS_ALIGNED(last + 1, frames);
	unsigned int present = 0;

	if (may_hold_foreign_tombstones(g, table, level))
		return false;
	if (all || level > 1 || counts(table)->whole)
		return all;
	for (unsigned int i = index_of(dfn, 1); i <= index_of(last, 1); i++)
		present += is_present(table[i]);
	return present == counts(table)->present;
}

/* The table behind the entry of this level is unlinked, with all that may be in it. */
static void note_unlinked(struct iommu_gather *g, dfn_t dfn, unsigned int level)
{
	table_structural(g);
	trace(WEIR_TRACE_UNLINK, g->domain->owner, (u16)g->batch->number, dfn, level);
}

/* Unlink the table behind e if it has become empty, unless an earlier batch has tombstones
 * somewhere. False: it stays. */
static bool unlink_empty(struct iommu_gather *g, u64 *parent, u64 *e, unsigned int level, dfn_t dfn)
{
	if (counts(table_at(*e))->present || have_foreign_tombstones(g))
		return false;
	note_unlinked(g, ALIGN_DOWN(dfn, frames_of(level)), level);
	make_tombstone(g, parent, e, level);
	return true;
}

/* The same for the tables on the way to dfn, from the one behind an entry of `level` upwards. */
static void unlink_empty_above(struct iommu_gather *g, dfn_t dfn, unsigned int level)
{
	for (; level <= iommu_common.levels; level++) {
		u64 *table = g->domain->root, *e;

		for (unsigned int at = iommu_common.levels; at > level; at--)
			table = table_at(table[index_of(dfn, at)]);
		e = &table[index_of(dfn, level)];
		if (!unlink_empty(g, table, e, level, dfn))
			return;
		iommu_write_back_entry(g->domain, e);
	}
}

void table_prune(struct iommu_gather *g, dfn_t dfn)
{
	unsigned int level = iommu_common.levels;
	u64 *table = g->domain->root, e, before = g->batch->tombstones;

	while (is_table(e = table[index_of(dfn, level)], level)) {
		table = table_at(e);
		level--;
	}
	if (!counts(table)->present)
		unlink_empty_above(g, dfn, level + 1);
	if (g->batch->tombstones != before)
		table_touched(g, dfn, 1);
}

/* Unmap [dfn, last], which lies in this table. */
static void unmap_in(struct iommu_gather *g, u64 *table, unsigned int level, dfn_t dfn, dfn_t last)
{
	unsigned int i = index_of(dfn, level), end = index_of(last, level), changed_from = ENTRIES,
		     changed_to = 0;

	for (; i <= end; i++) {
		u64 *e = &table[i];
		dfn_t start = ALIGN_DOWN(dfn, frames_of(level)),
		      to = MIN(start + frames_of(level) - 1, last);

		if (is_leaf(*e, level) && to - dfn + 1 < frames_of(level))
			split_superpage(g, table, e, level);
		if (is_table(*e, level) && !can_unlink(g, table_at(*e), level - 1, dfn, to)) {
			unmap_in(g, table_at(*e), level - 1, dfn, to);
			if (unlink_empty(g, table, e, level, dfn)) {
				changed_from = MIN(changed_from, i);
				changed_to = i;
			}
		} else if (is_present(*e)) {
			if (is_table(*e, level))
				note_unlinked(g, start, level);
			split_reference(g->domain, table, level);
			make_tombstone(g, table, e, level);
			changed_from = MIN(changed_from, i);
			changed_to = i;
		}
		dfn = to + 1;
	}
	if (changed_from <= changed_to)
		iommu_write_back(g->domain, &table[changed_from],
				 (changed_to - changed_from + 1) * sizeof(*table));
}

static void unmap_range(struct iommu_gather *g, dfn_t dfn, dfn_t last)
{
	unsigned int level = iommu_common.levels;
	u64 *table = g->domain->root, *e;

	/* Down to the first table that is not just passed through. */
	for (;; level--) {
		e = &table[index_of(dfn, level)];
		if ((dfn ^ last) >> order_of(level))
			break;
		if (is_leaf(*e, level) && last - dfn + 1 < frames_of(level))
			split_superpage(g, table, e, level);
		if (!is_table(*e, level) || can_unlink(g, table_at(*e), level - 1, dfn, last))
			break;
		table = table_at(*e);
	}
	unmap_in(g, table, level, dfn, last);
	if (!counts(table)->present)
		unlink_empty_above(g, dfn, level + 1);
}

void table_unmap(struct iommu_gather *g, dfn_t dfn, u64 nr)
{
	assert_locked(&g->domain->lock);
	if (!table_in_width(dfn, nr))
		return;
	unmap_range(g, dfn, dfn + nr - 1);
	table_touched(g, dfn, nr);
}

/* True if no leaf reaches across the border before this frame. */
static bool is_border(const struct iommu_domain *d, dfn_t dfn)
{
	unsigned int level = iommu_common.levels;
	const u64 *table = d->root;
	u64 e;

	while (is_table(e = table[index_of(dfn, level)], level)) {
		table = table_at(e);
		level--;
	}
	return !is_leaf(e, level) || IS_ALIGNED(dfn, frames_of(level));
}

bool iommu_can_unmap(struct iommu_gather *g, dfn_t dfn, u64 nr)
{
	const struct iommu_domain *d = g->domain;
	bool can;

	if (iommu_gather_can_split(g) || !table_in_width(dfn, nr))
		return true;
	spin_lock(&g->domain->lock);
	can = is_border(d, dfn) && (!table_in_width(dfn + nr, 1) || is_border(d, dfn + nr));
	spin_unlock(&g->domain->lock);
	return can;
}

/* --- one entry, the common case, kept short ------------------------------- */

static __noinline void unmap_any(struct iommu_gather *g, dfn_t dfn, u64 nr)
{
	trace(WEIR_TRACE_UNMAP, g->domain->owner, (u16)g->batch->number, dfn, nr);
	spin_lock(&g->domain->lock);
	table_unmap(g, dfn, nr);
	spin_unlock(&g->domain->lock);
}

/* Unmap the entry of this level, a constant, that covers all from dfn on: a leaf, or a table that
 * may be unlinked as a whole; other entries stay in its table. False, and nothing is done, if it
 * is not that simple. */
static __always_inline bool unmap_entry(struct iommu_gather *g, dfn_t dfn, unsigned int level)
{
	u64 *table = table_find(g->domain, dfn, level), *e;
	struct frame_table_counts *c;

	if (unlikely(!table || !IS_ALIGNED(dfn, frames_of(level))))
		return false;
	e = &table[index_of(dfn, level)];
	c = counts(table);
	if (unlikely(!is_present(*e) || c->present == 1 || c->whole))
		return false;
	if (is_table(*e, level)) {
		if (may_hold_foreign_tombstones(g, table_at(*e), level - 1))
			return false;
		table_structural(g);
	}
	make_tombstone(g, table, e, level);
	iommu_write_back_entry(g->domain, e);
	table_touched(g, dfn, frames_of(level));
	return true;
}

void iommu_unmap(struct iommu_gather *g, dfn_t dfn, u64 nr)
{
	struct iommu_domain *d = g->domain;
	bool done = false;

	if (likely(!trace_pages && table_in_width(dfn, nr))) {
		spin_lock(&d->lock);
		if (nr == 1)
			done = unmap_entry(g, dfn, 1);
		else if (nr == frames_of(2))
			done = unmap_entry(g, dfn, 2);
		else if (nr == frames_of(3))
			done = unmap_entry(g, dfn, 3);
		spin_unlock(&d->lock);
	}
	if (unlikely(!done))
		unmap_any(g, dfn, nr);
}
