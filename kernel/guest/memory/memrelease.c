/* How memory leaves a domain: on the guest's request through a batch, or at the domain's end. */
#include <kernel/guest/memory/memrelease.h>

#include <iommu/iommu.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/memory/shootdown.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>

/* How many of nr frames the gather's tables allow to unmap at once. If it has none left, nothing
 * can be split: then a leaf of the nested tables at a time, which the walk ends with. 0: a leaf of
 * the devices' tables is larger than that. */
static u64 can_unmap(struct memory *m, struct iommu_gather *g, gfn_t gfn, u64 nr)
{
	struct nested_leaf at;

	assert_locked(&m->nested.lock);
	if (!m->has_devices || iommu_gather_can_split(g))
		return nr;
	at = nested_lookup(&m->nested, gfn);
	nr = MIN(nr, (1UL << at.order) - (gfn & ((1UL << at.order) - 1)));
	return iommu_can_unmap(g, gfn, nr) ? nr : 0;
}

s64 memory_release(struct memory *m, gfn_t gfn, u64 nr)
{
	IOMMU_GATHER(g);
	u64 passed, unmapped = 0;
	int ret;

	if (!memory_is_ram(m, gfn, nr))
		return -EINVAL;
	/* Its memory is mapped for its devices at machine addresses, which this function does not
	 * look up. */
	if (m->machine_addresses)
		return -EPERM;
	ret = iommu_gather_begin_unmap(&g, m->iommu);
	if (ret)
		return ret;

	spin_lock(&m->nested.lock);
	nr = can_unmap(m, &g, gfn, nr);
	passed = nr ? memory_unmap(m, &g, gfn, nr, &unmapped) : 0;
	spin_unlock(&m->nested.lock);

	iommu_gather_commit(&g, unmapped);
	return passed ? (s64)passed : -ENOMEM;
}

static void free_block(struct memory *m, const struct nested_leaf *block)
{
	m->pages_owned -= 1UL << block->order;
	free_frames(block->mfn, block->order);
}

/* Every party has answered: free the frames in the batch's tombstones. */
static enum step free_released_step(struct iommu_batch *b)
{
	struct iommu_batch_user *u = iommu_batch_user(b);
	struct memory *m = u->owner;
	struct nested_walk w = { &m->nested, u->word[0], u->word[1], MEMORY_STEP_ENTRIES };
	struct nested_leaf block;

	spin_lock(&m->nested.lock);
	while (nested_take_tombstone(&w, iommu_batch_number(b), &block))
		free_block(m, &block);
	spin_unlock(&m->nested.lock);
	u->word[0] = w.gfn;
	return nested_walk_state(&w);
}

u64 memory_unmap(struct memory *m, struct iommu_gather *g, gfn_t gfn, u64 nr, u64 *unmapped)
{
	struct nested_walk w = { &m->nested, gfn, gfn + nr - 1, MEMORY_STEP_ENTRIES };
	struct iommu_batch_user *u = iommu_gather_user(g);

	assert_locked(&m->nested.lock);
	*unmapped = nested_unmap(&w, iommu_gather_number(g));
	if (!*unmapped)
		return w.gfn - gfn;
	if (m->has_devices)
		iommu_unmap(g, gfn, w.gfn - gfn);
	u->step = free_released_step;
	u->owner = m;
	u->word[0] = gfn;
	u->word[1] = w.gfn - 1;
	shootdown_post(&m->nested, g);
	return w.gfn - gfn;
}

enum step memory_empty_step(struct memory *m, gfn_t *gfn)
{
	struct nested_walk w = { &m->nested, *gfn, NESTED_LAST, MEMORY_STEP_ENTRIES };
	enum step ret = STEP_MORE;
	struct nested_leaf block;

	spin_lock(&m->nested.lock);
	if (nested_walk_state(&w) == STEP_DONE)
		ret = nested_free_step(&m->nested);
	while (nested_take_leaf(&w, &block))
		if (!(block.flags & NESTED_DEVICE))
			free_block(m, &block);
	spin_unlock(&m->nested.lock);
	*gfn = w.gfn;
	return ret;
}
