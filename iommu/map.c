/* Second-stage tables: map, collapse, change permissions. The picture is in iommu/table.c. */
#include <iommu/table.h>

#include <iommu/trace.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frameref.h>

/* Put an empty table behind an empty entry of `parent`. */
static u64 *grow(struct iommu_domain *d, u64 *parent, u64 *e)
{
	u64 *t = table_alloc(d);

	if (!t)
		return NULL;
	d->tables++;
	iommu_write_back(t, PAGE_SIZE);
	table_publish(e, virt_to_phys(t) | SS_R | SS_W);
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

static bool is_no_ram(mfn_t mfn, u64 nr)
{
	struct frame_info f;

	for (u64 i = 0; i < nr; i++)
		if (frame_query(mfn + i, &f) && f.type != FRAME_RESERVED)
			return false;
	return true;
}

/* References for nr consecutive entries of one table: one each, or, where they fill it and are together an aligned block of the
 * next size, one on that block (*whole). */
static int take_references(struct iommu_domain *d, unsigned int level, mfn_t mfn, u64 nr, u32 perm,
			   bool *whole)
{
	int ret;

	*whole = false;
	if (perm & IOMMU_NOT_RAM)
		return is_no_ram(mfn, nr << order_of(level)) ? 0 : -EPERM;
	if (nr == ENTRIES && level < LARGEST_LEAF && IS_ALIGNED(mfn, frames_of(level + 1))) {
		ret = frame_get_dev(mfn, order_of(level + 1), d->owner);
		*whole = !ret;
		if (ret != -EPERM) {
			d->references += !ret;
			return ret;
		}
	}
	ret = frame_get_dev_many(mfn, order_of(level), nr, d->owner);
	if (!ret)
		d->references += nr;
	return ret;
}

/* Fill nr entries from e on, which are empty: references first, then the entries, then one write-back. */
static int fill(struct iommu_gather *g, u64 *e, struct frame_table_counts *c, unsigned int level,
		mfn_t mfn, u64 nr, u32 perm)
{
	struct iommu_domain *d = g->domain;
	bool whole;
	int ret;

	ret = take_references(d, level, mfn, nr, perm, &whole);
	if (ret)
		return ret;
	table_write_run(e, nr, leaf(mfn, level, perm), frames_of(level) << PAGE_SHIFT);
	iommu_write_back(e, nr * sizeof(*e));
	c->present += (u16)nr;
	c->whole = whole;
	d->entries[level - 1] += nr;
	return 0;
}

/* Put a table of 512 leaves of `level` behind an empty entry of `parent`: filled first, so it is written and written back
 * once. */
static int grow_full(struct iommu_gather *g, u64 *parent, u64 *e, unsigned int level, dfn_t dfn,
		     mfn_t mfn, u32 perm)
{
	struct iommu_domain *d = g->domain;
	u64 *t = table_alloc_raw(d);
	int ret;

	if (!t)
		return -ENOMEM;
	d->tables++;
	ret = fill(g, t, counts(t), level, mfn, ENTRIES, perm);
	if (ret) {
		table_free(d, t);
		return ret;
	}
	table_publish(e, virt_to_phys(t) | SS_R | SS_W);
	counts(parent)->present++;
	if (iommu_common.caching_mode)
		table_touched(g, dfn, frames_of(level + 1));
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

/* e gets the leaf that its table is as good as, if it is; the table goes after the flush. */
static bool collapse(struct iommu_gather *g, u64 *e, unsigned int level, dfn_t dfn)
{
	struct iommu_domain *d = g->domain;
	u64 *table = table_at(*e), first = table[0];
	mfn_t mfn = virt_to_mfn(table);

	if ((level > 1 && level > iommu_common.largest) || !is_uniform(table, level - 1))
		return false;
	if (!counts(table)->whole && !(first & SS_NOT_RAM)) {
		frame_merge_dev(mfn_of(first), order_of(level));
		d->references -= ENTRIES - 1;
	}
	table_publish(e, first | SS_PS);
	d->entries[level - 2] -= ENTRIES;
	d->entries[level - 1]++;
	d->counters.io_collapses++;
	trace(WEIR_TRACE_COLLAPSE, d->owner, (u16)g->batch->number, mfn_of(first), level);
	frame_links(mfn)->next = g->batch->orphans;
	g->batch->orphans = (u32)mfn;
	table_touched(g, ALIGN_DOWN(dfn, frames_of(level)), frames_of(level));
	table_unlinked(g);
	return true;
}

/* The tables above dfn, from `level` on upwards, collapse as far as they are uniform. */
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

/* Map as much from dfn on as lies in one table; how many frames, or the error. */
static s64 map_some(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm, unsigned int limit)
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
		if (level == want + 1 && IS_ALIGNED(dfn, frames_of(level)) && nr >= frames_of(level)) {
			ret = grow_full(g, table, e, want, dfn, mfn, perm);
			if (ret)
				return ret;
			collapse_above(g, dfn, level);
			return (s64)frames_of(level);
		}
		table = grow(g->domain, table, e);
		if (!table)
			return -ENOMEM;
	}
	if (*e)
		return is_tombstone(*e) ? -EAGAIN : -EEXIST;

	c = counts(table);
	run = nr >> order_of(level);
	if (run > 1)
		run = empty_run(e, c, MIN((u64)ENTRIES - index_of(dfn, level), run));
	ret = fill(g, e, c, level, mfn, run, perm);
	if (unlikely(ret))
		return ret;
	if (iommu_common.caching_mode)
		table_touched(g, dfn, run << order_of(level));
	if (c->present == ENTRIES && level < iommu_common.largest)
		collapse_above(g, dfn, level + 1);
	return (s64)(run << order_of(level));
}

/* One leaf of this level, in a table that is there. False, and nothing done, if it is not that simple. */
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
	table_publish(e, leaf(mfn, level, perm));
	d->references++;
	d->entries[level - 1]++;
	c = counts(table);
	c->present++;
	if (unlikely(c->present == ENTRIES))
		collapse_above(g, dfn, level + 1);
	if (unlikely(iommu_common.caching_mode))
		table_touched(g, dfn, frames_of(level));
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

		/* A block that became the domain's piece by piece has no owner as a whole (kernel/mm/frame.c): it is
		 * mapped by smaller leaves, and collapses when it is complete. */
		if (ret == -EPERM && limit > 1) {
			limit--;
			continue;
		}
		if (ret < 0) {
			/* Where a collapse has joined older neighbours to it, this splits, from the
			 * gather's reserve. */
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

	/* The common cases, kept short. */
	if (likely(perm == (IOMMU_READ | IOMMU_WRITE) || perm == IOMMU_READ))
		done = nr == 1		  ? map_one(g, dfn, mfn, 1, perm) :
		       nr == frames_of(2) ? map_one(g, dfn, mfn, 2, perm) :
		       nr == frames_of(3) ? map_one(g, dfn, mfn, 3, perm) :
					    false;
	return done ? 0 : map_range(g, dfn, mfn, nr, perm);
}

/* --- permissions ------------------------------------------------------------------------------------------------------- */

static u64 with_permissions(u64 e, u32 perm)
{
	return (e & ~(SS_R | SS_W)) | (perm & IOMMU_READ ? SS_R : 0) | (perm & IOMMU_WRITE ? SS_W : 0);
}

/* [dfn, last] lies in one table. */
static void protect_in(struct iommu_gather *g, u64 *table, unsigned int level, dfn_t dfn,
		       dfn_t last, u32 perm)
{
	unsigned int from = index_of(dfn, level), to = index_of(last, level);

	for (unsigned int i = from; i <= to; i++) {
		dfn_t start = ALIGN_DOWN(dfn, frames_of(level)),
		      end = MIN(start + frames_of(level) - 1, last);
		u64 *e = &table[i];

		if (is_leaf(*e, level) && end - dfn + 1 < frames_of(level) &&
		    *e != with_permissions(*e, perm))
			table_split(g, table, e, level);
		if (is_table(*e, level)) {
			protect_in(g, table_at(*e), level - 1, dfn, end, perm);
			collapse(g, e, level, dfn);
		} else if (is_leaf(*e, level)) {
			store_release(e, with_permissions(*e, perm));
		}
		dfn = end + 1;
	}
	iommu_write_back(&table[from], (to - from + 1) * sizeof(*table));
}

int table_protect(struct iommu_gather *g, dfn_t dfn, u64 nr, u32 perm)
{
	if (!table_in_width(dfn, nr))
		return -ERANGE;
	if (!(perm & (IOMMU_READ | IOMMU_WRITE)))
		return -EINVAL;
	protect_in(g, g->domain->root, iommu_common.levels, dfn, dfn + nr - 1, perm);
	table_touched(g, dfn, nr);
	return 0;
}
