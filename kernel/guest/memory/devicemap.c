/* Maps a domain's memory for its devices, while the domain may be giving memory back or taking
 * it. */
#include <kernel/guest/memory/devicemap.h>

#include <iommu/iommu.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/lib/errno.h>

/* Map the leaves of [*gfn, end) until *left entries of either kind of table have been passed. A
 * large leaf in the nested tables may need many entries in the tables of a unit that has only small
 * pages; each turn maps at most one I/O table's worth of it. */
static int share_leaves(struct memory *m, struct iommu_gather *g, gfn_t *gfn, gfn_t end, u64 *left)
{
	unsigned int leaf_order = iommu_leaf_order();

	while (*gfn < end && *left) {
		struct nested_leaf at = nested_lookup(&m->nested, *gfn);
		u64 rest = (1UL << at.order) - (*gfn & ((1UL << at.order) - 1));
		u64 nr = MIN(rest, 512UL << leaf_order), entries = MAX(nr >> leaf_order, 1UL);
		int ret = 0;

		/* Skip tombstones: that memory was given back, and its release covers both sets of
		 * tables. */
		if (at.flags && !(at.flags & NESTED_DEVICE))
			ret = iommu_map(g, *gfn, at.mfn, nr, IOMMU_READ | IOMMU_WRITE);
		/* -EEXIST: an earlier attempt mapped it, or the guest took it after has_devices was
		 * set. */
		if (ret && ret != -EEXIST)
			return ret;
		*gfn += nr;
		*left -= MIN(*left, entries);
	}
	return 0;
}

int memory_map_for_devices(struct memory *m, gfn_t *gfn)
{
	u64 budget = MEMORY_STEP_ENTRIES, nr;
	IOMMU_GATHER(g);
	int ret;

	/* The control domain's devices may have an identity map instead. */
	if (m->machine_addresses || read_once(&m->devices_see_all))
		return STEP_DONE;
	ret = iommu_gather_begin(&g, m->iommu);
	if (ret)
		return ret == -EAGAIN ? STEP_WAIT : ret;

	spin_lock(&m->nested.lock);
	/* From here on, both sets of tables change together. */
	m->has_devices = true;
	while (!ret && budget && (nr = memory_ram_from(m, gfn)))
		ret = share_leaves(m, &g, gfn, *gfn + nr, &budget);
	if (!ret && memory_ram_from(m, gfn))
		ret = STEP_MORE;
	if (!ret)
		m->devices_see_all = true;
	spin_unlock(&m->nested.lock);
	iommu_gather_commit(&g, 0);
	return ret == -EAGAIN ? STEP_WAIT : ret;
}

s64 memory_device_frame(struct memory *m, gfn_t gfn)
{
	struct nested_leaf at;

	spin_lock(&m->nested.lock);
	at = nested_lookup(&m->nested, gfn);
	spin_unlock(&m->nested.lock);
	if (!at.flags || (at.flags & NESTED_DEVICE))
		return -ENOENT;
	return (s64)(m->machine_addresses ? at.mfn : gfn);
}
