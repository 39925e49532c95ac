/* The release of a batch.
 *
 *	all have answered:  work item ->  step: own tombstones, references, tables
 *	(iommu/commit.c)                  step: ...
 *	                                  step: the caller's own release (frames)
 *	                                  batch free, waiting vCPUs woken
 *
 * The steps are bounded, and nothing in them allocates or waits.
 *
 * A batch releases only tombstones that carry its own number: its range may also contain
 * tombstones of other batches, and new mappings. Batches may be answered in any order. That is
 * safe since no batch's release depends on another's: a table with another batch's tombstones is
 * emptied, not unlinked (iommu/table.c).
 */
#include <iommu/release.h>

#include <iommu/table.h>
#include <iommu/trace.h>

#define STEP_ENTRIES 512
/* With less than this left, the step ends before the caller's own release begins. */
#define STEP_ENTRIES_LEFT (STEP_ENTRIES / 2)

static void recycle(struct iommu_batch *b)
{
	struct iommu_domain *d = b->domain;

	trace(WEIR_TRACE_RELEASED, d->owner, (u16)b->number, b->frames_held, 0);
	spin_lock(&d->lock);
	d->structural -= b->structural;
	d->splits -= b->split;
	d->frames_held -= b->frames_held;
	d->counters.batches_completed++;
	(void)domain_free_batch(b);
	spin_unlock(&d->lock);
	domain_batch_done(d, true);
}

static enum step release_step(struct work *w)
{
	struct iommu_batch *b = container_of(w, struct iommu_batch, work);

	if (!b->tables_released) {
		u32 budget = STEP_ENTRIES;

		spin_lock(&b->domain->lock);
		b->tables_released = table_release(b, &budget) == STEP_DONE;
		spin_unlock(&b->domain->lock);
		if (!b->tables_released || budget < STEP_ENTRIES_LEFT)
			return STEP_MORE;
	}
	if (b->user.step && b->user.step(b) != STEP_DONE)
		return STEP_MORE;
	/* From here on the batch may be in use again, and its domain may end. */
	work_forget(w);
	work_init(w, release_step);
	recycle(b);
	return STEP_DONE;
}

void release_init(struct iommu_batch *b)
{
	work_init(&b->work, release_step);
}
