/* Second-stage tables: allocation, walk, release. All functions: the domain's lock is held,
 * unless it says otherwise. */
#pragma once

#include <iommu/domain.h>
#include <iommu/entry.h>
#include <kernel/lib/atomic.h>

/* The root table. -ENOMEM. */
int __must_check table_init(struct iommu_domain *d);

/* Release the batch's tombstones from b->next on, looking at about *budget entries; a table that is
 * freed counts as several. *budget: what is left of it. STEP_DONE or STEP_MORE. */
enum step table_release(struct iommu_batch *b, u32 *budget);
/* Release everything, when no device can reach it and no batch is left: a bounded part per
 * call. STEP_DONE or STEP_MORE. */
enum step table_destroy_step(struct iommu_domain *d);

/* A table, typed and zeroed (raw: not zeroed), or NULL. */
u64 *table_alloc(struct iommu_domain *d);
u64 *table_alloc_raw(struct iommu_domain *d);
void table_free(struct iommu_domain *d, u64 *table);

/* --- what iommu/map.c and iommu/unmap.c share ----------------------------- */

static inline bool table_in_width(dfn_t dfn, u64 nr)
{
	dfn_t limit = iommu_common.limit;

	return nr && dfn < limit && nr <= limit - dfn;
}

/* [dfn, dfn + nr) must be flushed. */
static inline void table_touched(struct iommu_gather *g, dfn_t dfn, u64 nr)
{
	g->first = MIN(g->first, dfn);
	g->last = MAX(g->last, dfn + nr - 1);
	g->batch->changed = true;
}

/* A table was taken out of use, or, in caching mode, came into use: until the gather has completed,
 * every flush of the domain must drop what is cached of the entries above the leaves. */
static inline void table_structural(struct iommu_gather *g)
{
	if (g->batch->structural)
		return;
	g->batch->structural = true;
	g->domain->structural++;
}

/* Write value, value + step, ... to nr entries from e on. */
static inline void table_write_run(u64 *e, u64 nr, u64 value, u64 step)
{
	for (; nr >= 16; nr -= 16, e += 16) {
#pragma GCC unroll 16
		for (unsigned int i = 0; i < 16; i++, value += step)
			write_once(&e[i], value);
	}
	for (; nr; nr--, value += step)
		write_once(e++, value);
}

/* The table whose entries have this level and cover dfn, or NULL if there is none. The entry of a
 * table has no flags but R and W. */
static __always_inline u64 *table_find(const struct iommu_domain *d, dfn_t dfn, unsigned int level)
{
	u64 *table = d->root;

	for (unsigned int shift = order_of(iommu_common.levels); shift > order_of(level);
	     shift -= 9) {
		u64 at = table[(dfn >> shift) % ENTRIES] - (SS_R | SS_W);

		if (unlikely(at % PAGE_SIZE))
			return NULL;
		table = phys_to_virt(at);
	}
	return table;
}

static inline void table_publish(const struct iommu_domain *d, u64 *e, u64 value)
{
	store_release(e, value);
	iommu_write_back_entry(d, e);
}

/* --- inspection ----------------------------------------------------------- */

/* The entries that a walk for dfn meets, from the root down; how many. *mfn: the page it ends at,
 * or INVALID_MFN. Takes the lock itself. */
unsigned int table_walk(struct iommu_domain *d, dfn_t dfn, u64 entry[5], mfn_t *mfn);
