/* Mapping in second-stage tables, and collapsing tables into superpages. The picture is in
 * iommu/table.c. */
#include <iommu/map.h>

#include <iommu/table.h>
#include <iommu/trace.h>
#include <iommu/unmap.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/frameref.h>

/* In caching mode: entries of this level, which map nr frames from dfn on, became present. A unit
 * may have cached that they were not, above level 1 in its paging-structure caches (6.1). */
static void became_present(struct iommu_gather *g, dfn_t dfn, u64 nr, unsigned int level)
{
	table_touched(g, dfn, nr);
	if (level > 1)
		table_structural(g);
}

/* Put an empty table behind e, an empty entry of `parent`. In caching mode this is flushed with
 * what is put into the table next: a filled table, or leaves above level 1. */
static u64 *add_table(struct iommu_gather *g, u64 *parent, u64 *e)
{
	struct iommu_domain *d = g->domain;
	u64 *t = table_alloc(d);

	if (!t)
		return NULL;
	d->tables++;
	iommu_write_back(d, t, PAGE_SIZE);
	table_publish(d, e, virt_to_phys(t) | SS_R | SS_W);
	counts(parent)->present++;
	return t;
}

/* Level of the largest leaf that may start here. */
static inline unsigned int largest_level(dfn_t dfn, mfn_t mfn, u64 nr)
{
	unsigned int level;

	if (nr < ENTRIES)
		return 1;
	for (level = iommu_common.largest; level > 1; level--)
		if (IS_ALIGNED(dfn | mfn, frames_of(level)) && nr >= frames_of(level))
			break;
	return level;
}

/* True if none of these frames is RAM that somebody could own. */
static bool is_no_ram(mfn_t mfn, u64 nr)
{
	struct frame_info f;

	for (u64 i = 0; i < nr; i++)
		if (frame_query(mfn + i, &f) && f.type != FRAME_RESERVED)
			return false;
	return true;
}

/* Leaves of one table, one after the other. */
struct leaf_run {
	mfn_t mfn; /* of the first */
	u64 nr;
	unsigned int level;
	u32 perm;
};

/* Take the references of a run: one per leaf, or, where the leaves fill the table and form one
 * aligned block of the next size, one on that block (*whole). */
static inline int take_references(struct iommu_domain *d, const struct leaf_run *r, bool *whole)
{
	u64 block = frames_of(r->level + 1);
	int ret;

	*whole = false;
	if (r->perm & IOMMU_NOT_RAM)
		return is_no_ram(r->mfn, r->nr << order_of(r->level)) ? 0 : -EPERM;
	if (r->nr == ENTRIES && r->level < LARGEST_LEAF && IS_ALIGNED(r->mfn, block)) {
		ret = frame_get_dev(r->mfn, order_of(r->level + 1), d->owner);
		*whole = !ret;
		if (ret != -EPERM) {
			d->references += !ret;
			return ret;
		}
	}
	ret = frame_get_dev_many(r->mfn, order_of(r->level), r->nr, d->owner);
	if (!ret)
		d->references += r->nr;
	return ret;
}

/* Write a run to the entries from e on, which are empty: references first. */
static inline int fill_entries(struct iommu_domain *d, u64 *e, struct frame_table_counts *c,
			       const struct leaf_run *r)
{
	u64 first = leaf(d, r->mfn, r->level, r->perm);
	bool whole;
	int ret;

	ret = take_references(d, r, &whole);
	if (ret)
		return ret;
	table_write_run(e, r->nr, first, frames_of(r->level) << PAGE_SHIFT);
	c->present += (u16)r->nr;
	c->whole = whole;
	d->entries[r->level - 1] += r->nr;
	return 0;
}

/* Put a new table with a run of leaves from dfn on behind an empty entry of `parent`. It is filled
 * first, so it is written back once. */
static int add_filled_table(struct iommu_gather *g, u64 *parent, u64 *e, dfn_t dfn,
			    const struct leaf_run *r)
{
	unsigned int first = index_of(dfn, r->level);
	struct iommu_domain *d = g->domain;
	u64 *t = table_alloc_raw(d);
	int ret;

	if (!t)
		return -ENOMEM;
	d->tables++;
	if (r->nr < ENTRIES) {
		memset(t, 0, first * sizeof(*t));
		memset(&t[first + r->nr], 0, (ENTRIES - first - r->nr) * sizeof(*t));
	}
	ret = fill_entries(d, &t[first], counts(t), r);
	if (ret) {
		table_free(d, t);
		return ret;
	}
	iommu_write_back(d, t, PAGE_SIZE);
	table_publish(d, e, virt_to_phys(t) | SS_R | SS_W);
	counts(parent)->present++;
	if (iommu_common.caching_mode)
		became_present(g, dfn, r->nr << order_of(r->level), r->level + 1);
	return 0;
}

/* True if all 512 entries map one aligned, contiguous block alike. */
static bool is_uniform(const u64 *table, unsigned int level)
{
	u64 first = table[0], step = frames_of(level) << PAGE_SHIFT;

	if (counts(table)->present != ENTRIES || !is_leaf(first, level) ||
	    !IS_ALIGNED(mfn_of(first), frames_of(level + 1)) ||
	    table[ENTRIES - 1] != first + (ENTRIES - 1) * step)
		return false;
	for (unsigned int i = 1; i < ENTRIES; i++)
		if (table[i] != first + i * step)
			return false;
	return true;
}

/* If the table behind e maps what one leaf would, put that leaf there; the table is freed after the
 * flush. Memory that is not RAM is left as it was mapped: two reserved regions side by side would
 * become one leaf, and unmapping one of them would need a table. */
static __noinline bool collapse(struct iommu_gather *g, u64 *e, unsigned int level, dfn_t dfn)
{
	struct iommu_domain *d = g->domain;
	u64 *table = table_at(*e), first = table[0];
	mfn_t mfn = virt_to_mfn(table);

	if ((level > 1 && level > iommu_common.largest) || (first & SS_NOT_RAM) ||
	    !is_uniform(table, level - 1))
		return false;
	if (!counts(table)->whole) {
		frame_merge_dev(mfn_of(first), order_of(level));
		d->references -= ENTRIES - 1;
	}
	table_publish(g->domain, e, first | SS_PS);
	d->entries[level - 2] -= ENTRIES;
	d->entries[level - 1]++;
	d->counters.io_collapses++;
	trace(WEIR_TRACE_COLLAPSE, d->owner, (u16)g->batch->number, mfn_of(first), level);
	frame_links(mfn)->next = g->batch->deferred;
	g->batch->deferred = (u32)mfn;
	table_touched(g, ALIGN_DOWN(dfn, frames_of(level)), frames_of(level));
	table_structural(g);
	return true;
}

/* Collapse the tables above dfn, from `level` on upwards, as far as they are uniform. */
static void collapse_above(struct iommu_gather *g, dfn_t dfn, unsigned int level)
{
	for (; level <= iommu_common.largest; level++) {
		u64 *table = g->domain->root;

		for (unsigned int at = iommu_common.levels; at > level; at--)
			table = table_at(table[index_of(dfn, at)]);
		if (!collapse(g, &table[index_of(dfn, level)], level, dfn))
			return;
	}
}

/* True if all entries that are not empty lie before the first few of them. */
static inline bool all_lie_before(const u64 *table, unsigned int first, unsigned int used)
{
	for (unsigned int i = 0; i < first && used; i++)
		used -= table[i] != 0;
	return !used;
}

/* How many of the table's entries from `first` on are empty, at most max. */
static inline u64 empty_run(const u64 *table, unsigned int first, u64 max)
{
	const struct frame_table_counts *c = counts(table);
	u64 run = 0;

	if (all_lie_before(table, MIN(first, 16u), c->present + c->tombstones))
		return max;
	while (run < max && !table[first + run])
		run++;
	return run;
}

/* Map as much from dfn on as lies in one table. Returns how many frames, or the error. */
static s64 map_some(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm, u32 limit)
{
	unsigned int want = MIN(largest_level(dfn, mfn, nr), limit), level = iommu_common.levels;
	u64 *table = g->domain->root, *e, run;
	struct frame_table_counts *c;
	int ret;

	for (;; level--) {
		e = &table[index_of(dfn, level)];
		if (likely(is_table(*e, level))) {
			table = table_at(*e);
			continue;
		}
		if (level <= want)
			break;
		if (*e)
			return is_tombstone(*e) ? -EAGAIN : -EEXIST;
		if (level == want + 1) {
			run = MIN((u64)ENTRIES - index_of(dfn, want), nr >> order_of(want));
			ret = add_filled_table(g, table, e, dfn,
					       &(struct leaf_run){ mfn, run, want, perm });
			if (ret)
				return ret;
			if (run == ENTRIES)
				collapse_above(g, dfn, level);
			return (s64)(run << order_of(want));
		}
		table = add_table(g, table, e);
		if (!table)
			return -ENOMEM;
	}
	if (*e)
		return is_tombstone(*e) ? -EAGAIN : -EEXIST;

	c = counts(table);
	run = nr >> order_of(level);
	if (run > 1)
		run = empty_run(table, index_of(dfn, level),
				MIN((u64)ENTRIES - index_of(dfn, level), run));
	ret = fill_entries(g->domain, e, c, &(struct leaf_run){ mfn, run, level, perm });
	if (unlikely(ret))
		return ret;
	iommu_write_back(g->domain, e, run * sizeof(*e));
	if (iommu_common.caching_mode)
		became_present(g, dfn, run << order_of(level), level);
	if (c->present == ENTRIES && level < iommu_common.largest)
		collapse_above(g, dfn, level + 1);
	return (s64)(run << order_of(level));
}

int table_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm)
{
	unsigned int limit = iommu_common.largest;
	u64 done = 0;

	assert_locked(&g->domain->lock);
	if (!table_in_width(dfn, nr))
		return -ERANGE;
	if (!(perm & (IOMMU_READ | IOMMU_WRITE)))
		return -EINVAL;
	while (done < nr) {
		s64 ret = map_some(g, dfn + done, mfn + done, nr - done, perm, limit);

		/* A block that became the domain's piece by piece has no owner as a whole
		 * (kernel/mm/frame.c): it is mapped by smaller leaves, and collapses when it is
		 * complete. */
		if (ret == -EPERM && limit > 1) {
			limit--;
			continue;
		}
		if (ret < 0) {
			/* Where a collapse has joined it with older neighbours, this splits them
			 * again, from the gather's reserve. */
			if (done)
				table_unmap(g, dfn, done);
			table_prune(g, dfn + done);
			return (int)ret;
		}
		done += (u64)ret;
		/* Past the block, larger leaves are tried again. */
		if (IS_ALIGNED(dfn + done, frames_of(limit + 1)))
			limit = iommu_common.largest;
	}
	return 0;
}

/* --- one leaf, the common case, kept short -------------------------------- */

static __noinline int map_any(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm)
{
	int ret;

	trace(WEIR_TRACE_MAP, g->domain->owner, (u16)g->batch->number, dfn, nr);
	spin_lock(&g->domain->lock);
	ret = table_map(g, dfn, mfn, nr, perm);
	spin_unlock(&g->domain->lock);
	return ret;
}

/* What is left to do after the leaf at dfn has been mapped, for a table that is full now and for
 * units in caching mode. Drops the lock. */
static __noinline int finish_leaf(struct iommu_gather *g, dfn_t dfn, unsigned int level,
				  u32 present)
{
	if (present == ENTRIES)
		collapse_above(g, dfn, level + 1);
	if (iommu_common.caching_mode)
		became_present(g, dfn, frames_of(level), level);
	spin_unlock(&g->domain->lock);
	return 0;
}

/* Map one leaf of this level, a constant, if its table exists. */
static __always_inline int map_leaf(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u32 perm,
				    unsigned int level)
{
	struct iommu_domain *d = g->domain;
	struct frame_table_counts *c;
	u64 *table, *e;

	if (unlikely(!table_in_width(dfn, frames_of(level)) ||
		     (level > 1 &&
		      (level > iommu_common.largest || !IS_ALIGNED(dfn | mfn, frames_of(level))))))
		goto slow;
	spin_lock(&d->lock);
	table = table_find(d, dfn, level);
	if (unlikely(!table))
		goto slow_locked;
	e = &table[index_of(dfn, level)];
	if (unlikely(*e || !frame_try_get_dev(mfn, order_of(level), d->owner)))
		goto slow_locked;
	table_publish(d, e, leaf(d, mfn, level, perm));
	d->references++;
	d->entries[level - 1]++;
	c = counts(table);
	c->present++;
	if (unlikely(c->present == ENTRIES || iommu_common.caching_mode))
		return finish_leaf(g, dfn, level, c->present);
	spin_unlock(&d->lock);
	return 0;

slow_locked:
	spin_unlock(&d->lock);
slow:
	return map_any(g, dfn, mfn, frames_of(level), perm);
}

int iommu_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm)
{
	bool usual = perm == (IOMMU_READ | IOMMU_WRITE) || perm == IOMMU_READ;

	if (likely(usual && !trace_pages)) {
		if (nr == 1)
			return map_leaf(g, dfn, mfn, perm, 1);
		if (nr == frames_of(2))
			return map_leaf(g, dfn, mfn, perm, 2);
		if (nr == frames_of(3))
			return map_leaf(g, dfn, mfn, perm, 3);
	}
	return map_any(g, dfn, mfn, nr, perm);
}
