/* The release of a batch.
 *
 *	commit ----.
 *	unit 0 -----> pending-- ... 0:  work item ->  step: own tombstones, references, tables
 *	unit 1 ----'                                  step: ...
 *	CPU 3  ---'                                   step: the caller's own release (frames)
 *	                                              batch free, waiting vCPUs woken
 *
 * The party that answers last queues the work on its own CPU. The steps are bounded, and nothing
 * in them allocates or waits.
 *
 * A batch releases only tombstones that carry its own number: its range may also contain
 * tombstones of other batches, and new mappings. Batches may be answered in any order. That is
 * safe since no batch's release depends on another's: a table with another batch's tombstones is
 * emptied, not unlinked (iommu/table.c).
 */
#include <iommu/release.h>

#include <iommu/hw.h>
#include <iommu/table.h>
#include <iommu/trace.h>
#include <kernel/lib/atomic.h>

#define STEP_ENTRIES 512

static void count_latency(struct iommu_domain *d, u64 ns)
{
	unsigned int bucket = 0;

	while (bucket < WEIR_LATENCY_BUCKETS - 1 && ns >= 1000UL << bucket)
		bucket++;
	(void)atomic_add(&d->counters.latency[bucket], 1);
}

bool release_join(struct iommu_batch *b)
{
	u32 pending = read_once(&b->pending);

	do {
		if (!pending)
			return false;
	} while (!atomic_cmpxchg(&b->pending, &pending, pending + 1));
	return true;
}

void iommu_batch_answer(struct iommu_batch *b)
{
	u64 ns;

	if (atomic_sub(&b->pending, 1))
		return;
	ns = hw_cycles_to_ns(hw_cycles()) - hw_cycles_to_ns(b->committed);
	count_latency(b->domain, ns);
	trace(WEIR_TRACE_ANSWERED, b->domain->owner, (u16)b->number, ns, 0);
	work_queue(&b->work);
}

static void unit_answered(struct iommu_request *r)
{
	struct iommu_batch *b = container_of(r, struct unit_request, request)->batch;

	domain_count_completed(b->domain, r->nr);
	iommu_batch_answer(b);
}

static void recycle(struct iommu_batch *b)
{
	struct iommu_domain *d = b->domain;

	trace(WEIR_TRACE_RELEASED, d->owner, (u16)b->number, b->frames_held, 0);
	spin_lock(&d->lock);
	d->structural -= b->structural;
	d->splits -= b->split;
	d->frames_held -= b->frames_held;
	d->counters.batches_completed++;
	b->state = BATCH_FREE;
	spin_unlock(&d->lock);
	domain_batch_done(d);
}

static enum step release_step(struct work *w)
{
	struct iommu_batch *b = container_of(w, struct iommu_batch, work);

	if (!b->tables_released) {
		spin_lock(&b->domain->lock);
		b->tables_released = table_release(b, STEP_ENTRIES) == STEP_DONE;
		spin_unlock(&b->domain->lock);
		if (!b->tables_released)
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
	for (u32 i = 0; i < iommu_nr_units; i++) {
		list_init(&b->unit[i].request.link);
		b->unit[i].request.done = unit_answered;
		b->unit[i].batch = b;
	}
}
