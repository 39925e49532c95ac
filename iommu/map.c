/* Second-stage tables: map, collapse, change permissions. The picture is in iommu/table.c. */
#include <iommu/table.h>

#include <iommu/trace.h>
#include <kernel/errno.h>

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

static unsigned int largest_level(dfn_t dfn, mfn_t mfn, u64 nr)
{
	unsigned int level = iommu_common.largest;

	while (level > 1 && (!IS_ALIGNED(dfn | mfn, frames_of(level)) || nr < frames_of(level)))
		level--;
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

/* Entries first .. first + nr, in runs that a compiler can unroll; nothing in them is in use. */
static void write_leaves(u64 *e, u64 nr, u64 value, u64 step)
{
	u64 *end = e + nr;

	for (; end - e >= 4; e += 4, value += 4 * step) {
		write_once(&e[0], value);
		write_once(&e[1], value + step);
		write_once(&e[2], value + 2 * step);
		write_once(&e[3], value + 3 * step);
	}
	for (; e < end; e++, value += step)
		write_once(e, value);
}

/* Fill consecutive entries of one table, which are empty: references first, then the entries, then one write-back. */
static int fill(struct iommu_gather *g, u64 *table, unsigned int level, dfn_t dfn, mfn_t mfn,
		u64 nr, u32 perm)
{
	struct iommu_domain *d = g->domain;
	u64 *e = &table[index_of(dfn, level)];
	bool whole;
	int ret;

	ret = take_references(d, level, mfn, nr, perm, &whole);
	if (ret)
		return ret;
	write_leaves(e, nr, leaf(mfn, level, perm), frames_of(level) << PAGE_SHIFT);
	iommu_write_back(e, nr * sizeof(*e));
	counts(table)->present += (u16)nr;
	counts(table)->whole = whole;
	d->entries[level - 1] += nr;
	if (iommu_common.caching_mode)
		table_touched(g, dfn, nr * frames_of(level));
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
static void collapse(struct iommu_gather *g, u64 *e, unsigned int level, dfn_t dfn)
{
	struct iommu_domain *d = g->domain;
	u64 *table = table_at(*e), first = table[0];
	mfn_t mfn = virt_to_mfn(table);

	if (level > iommu_common.largest || !is_uniform(table, level - 1))
		return;
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
}

/* How many of the entries from first on are empty, at most max. */
static u64 empty_run(const u64 *table, unsigned int first, u64 max)
{
	u64 run = 0;

	if (!(counts(table)->present | counts(table)->tombstones))
		return max;
	while (run < max && !table[first + run])
		run++;
	return run;
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
		if (is_tombstone(*e))
			return -EAGAIN;
		if (level <= want && !is_table(*e, level))
			break;
		if (is_leaf(*e, level))
			return -EEXIST;
		table = *e ? table_at(*e) : grow(g->domain, table, e);
		if (!table)
			return -ENOMEM;
	}

	run = empty_run(table, index_of(dfn, level),
			MIN((u64)ENTRIES - index_of(dfn, level), nr >> order_of(level)));
	if (!run)
		return -EEXIST;
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
	return (s64)(run << order_of(level));
}

int table_map(struct iommu_gather *g, dfn_t dfn, mfn_t mfn, u64 nr, u32 perm)
{
	u64 done = 0;

	if (!table_in_width(dfn, nr))
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
