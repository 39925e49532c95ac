/* Mapping in second-stage tables, and collapsing tables into superpages. The picture is in
 * iommu/table.c. */
#include <iommu/map.h>

#include <iommu/table.h>
#include <iommu/trace.h>
#include <iommu/unmap.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frameref.h>

/* In caching mode: entries of this level, which map nr frames from dfn on, became present. A unit
 * may have cached that they were not, above level 1 in its paging-structure caches (6.1). */
static void became_present(struct iommu_gather *g, dfn_t dfn, u64 nr, unsigned int level)
{
	table_touched(g, dfn, nr);
	if (level > 1)
		table_structural(g);
}

/* Put an empty table behind e, an empty entry of `parent`, which has this level. */
static u64 *add_table(struct iommu_gather *g, u64 *parent, u64 *e, unsigned int level, dfn_t dfn)
{
	struct iommu_domain *d = g->domain;
	u64 *t = table_alloc(d);

	if (!t)
		return NULL;
	d->tables++;
	iommu_write_back(d, t, PAGE_SIZE);
	table_publish(d, e, virt_to_phys(t) | SS_R | SS_W);
	counts(parent)->present++;
	if (iommu_common.caching_mode)
		became_present(g, dfn, 1, level);
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

/* Write a run to the entries from e on, which are empty: references first, then the entries, then
 * one write-back. */
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
	iommu_write_back(d, e, r->nr * sizeof(*e));
	c->present += (u16)r->nr;
	c->whole = whole;
	d->entries[r->level - 1] += r->nr;
	return 0;
}

/* Put a full table behind an empty entry of `parent`: filled first, so it is written and written
 * back once. */
static int add_full_table(struct iommu_gather *g, u64 *parent, u64 *e, dfn_t dfn,
			  const struct leaf_run *r)
{
	struct iommu_domain *d = g->domain;
	u64 *t = table_alloc_raw(d);
	int ret;

	if (!t)
		return -ENOMEM;
	d->tables++;
	ret = fill_entries(d, t, counts(t), r);
	if (ret) {
		table_free(d, t);
		return ret;
	}
	table_publish(d, e, virt_to_phys(t) | SS_R | SS_W);
	counts(parent)->present++;
	if (iommu_common.caching_mode)
		became_present(g, dfn, frames_of(r->level + 1), r->level + 1);
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

/* How many of the entries from e on are empty, at most max. */
static inline u64 empty_run(const u64 *e, const struct frame_table_counts *c, u64 max)
{
	u64 run = 0;

	if (!(c->present | c->tombstones))
		return max;
	while (run < max && !e[run])
		run++;
	return run;
}

/* True if nr frames from dfn on fill a table of leaves of this level. */
static inline bool fills_table(dfn_t dfn, u64 nr, unsigned int level)
{
	return IS_ALIGNED(dfn, frames_of(level + 1)) && nr >= frames_of(level + 1);
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
		if (level == want + 1 && fills_table(dfn, nr, want)) {
			ret = add_full_table(g, table, e, dfn,
					     &(struct leaf_run){ mfn, ENTRIES, want, perm });
			if (ret)
				return ret;
			collapse_above(g, dfn, level);
			return (s64)frames_of(level);
		}
		table = add_table(g, table, e, level, dfn);
		if (!table)
			return -ENOMEM;
	}
	if (*e)
		return is_tombstone(*e) ? -EAGAIN : -EEXIST;

	c = counts(table);
	run = nr >> order_of(level);
	if (run > 1)
		run = empty_run(e, c, MIN((u64)ENTRIES - index_of(dfn, level), run));
	ret = fill_entries(g->domain, e, c, &(struct leaf_run){ mfn, run, level, perm });
	if (unlikely(ret))
		return ret;
	if (iommu_common.caching_mode)
		became_present(g, dfn, run << order_of(level), level);
	if (c->present == ENTRIES && level < iommu_common.largest)
		collapse_above(g, dfn, level + 1);
	return (s64)(run << order_of(level));
}

/* Map one leaf of this level in a table that exists. False, and nothing is done, if it is not that
 * simple. */
static __always_inline bool map_one(struct iommu_gather *g, dfn_t dfn, mfn_t mfn,
				    unsigned int level, u32 perm)
{
	struct iommu_domain *d = g->domain;
	struct frame_table_counts *c;
	u64 *table = d->root, *e, above;

	if (level > iommu_common.largest || !IS_ALIGNED(dfn | mfn, frames_of(level)) ||
	    !table_in_width(dfn, frames_of(level)))
		return false;
	for (unsigned int at = iommu_common.levels; at > level; at--) {
		above = table[index_of(dfn, at)];
		if ((above & (SS_R | SS_W | SS_PS)) != (SS_R | SS_W))
			return false;
		table = table_at(above);
	}
	e = &table[index_of(dfn, level)];
	if (*e || frame_get_dev(mfn, order_of(level), d->owner))
		return false;
	table_publish(d, e, leaf(d, mfn, level, perm));
	d->references++;
	d->entries[level - 1]++;
	c = counts(table);
	c->present++;
	if (unlikely(c->present == ENTRIES))
		collapse_above(g, dfn, level + 1);
	if (unlikely(iommu_common.caching_mode))
		became_present(g, dfn, frames_of(level), level);
	return true;
}

static __noinline int map_range(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm)
{
	unsigned int limit = iommu_common.largest;
	u64 done = 0;

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

int table_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm)
{
	bool done = false;

	assert_locked(&g->domain->lock);
	/* The common cases, kept short. */
	if (likely(perm == (IOMMU_READ | IOMMU_WRITE) || perm == IOMMU_READ))
		done = nr == 1		  ? map_one(g, dfn, mfn, 1, perm) :
		       nr == frames_of(2) ? map_one(g, dfn, mfn, 2, perm) :
		       nr == frames_of(3) ? map_one(g, dfn, mfn, 3, perm) :
					    false;
	return done ? 0 : map_range(g, dfn, mfn, nr, perm);
}

int iommu_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm)
{
	int ret;

	trace(WEIR_TRACE_MAP, g->domain->owner, (u16)g->batch->number, dfn, nr);
	spin_lock(&g->domain->lock);
	ret = table_map(g, dfn, mfn, nr, perm);
	spin_unlock(&g->domain->lock);
	return ret;
}
