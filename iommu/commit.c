/* Commit: what a gather has changed is flushed, and the answers are counted.
 *
 *	commit ----.
 *	unit 0 -----> pending-- ... 0:  the release is queued (iommu/release.c)
 *	unit 1 ----'
 *	CPU 3  ---'
 *
 * The party that answers last queues the work on its own CPU. The commit itself is a party, so
 * that all requests are posted before the last answer.
 */
#include <iommu/commit.h>

#include <iommu/devicetlb.h>
#include <iommu/hw.h>
#include <iommu/trace.h>
#include <kernel/lib/atomic.h>

/* --- the commit ----------------------------------------------------------- */

/* The invalidation of [first, last] on one unit: by pages if one descriptor covers the range, else
 * the whole domain. */
static inline struct qi_desc invalidation_for(const struct iommu_domain *d,
					      const struct iommu_unit *u, dfn_t first, dfn_t last)
{
	u32 am = first == last ? 0 : 64 - (u32)__builtin_clzl(first ^ last);

	/* The old translation of a superpage that was split is dropped only by a mask of its
	 * size. It may be cached until the gather that split it has completed. */
	if (d->splits || !(u->cap & CAP_PSI) || am > FIELD_GET(CAP_MAMV, u->cap))
		return qi_iotlb_domain(d->did);
	/* A walker may still have the address of a table that this gather, or one that has not
	 * completed, unlinked: until then every flush of this domain must include the
	 * paging-structure caches. */
	return qi_iotlb_pages(d->did, ALIGN_DOWN(first, 1UL << am), am, !d->structural);
}

/* Post one request to each unit that has devices of the domain. Under the lock no device is
 * attached meanwhile. */
static inline void post_invalidations(struct iommu_domain *d, struct iommu_batch *b, dfn_t first,
				      dfn_t last)
{
	assert_locked(&d->lock);
	for (u32 i = 0; i < iommu_nr_units; i++) {
		if (!d->devices_on[i])
			continue;
		b->unit[i].request.desc[0] = invalidation_for(d, &iommu_units[i], first, last);
		b->unit[i].request.nr = 1;
		d->counters.iotlb_invalidations++;
		d->counters.invalidations_posted++;
		(void)atomic_add(&b->pending, 1);
		queue_submit(&iommu_units[i], &b->unit[i].request);
	}
	if (!list_empty(&d->device_tlbs))
		device_flush_tlbs(d, b, first, last);
}

void iommu_gather_commit(struct iommu_gather *g, u64 frames_held)
{
	struct iommu_domain *d = g->domain;
	struct iommu_batch *b = g->batch;
	bool wanted;

	g->batch = NULL;
	spin_lock(&d->lock);
	if (!b->changed && !b->user.step && read_once(&b->pending) == 1) {
		/* It releases nothing that a vCPU may wait for, which has perhaps just begun this
		 * gather and found another batch's tombstone: woken by itself, it would never
		 * sleep. */
		wanted = domain_free_batch(b);
		spin_unlock(&d->lock);
		domain_batch_done(d, wanted);
		return;
	}
	trace(WEIR_TRACE_COMMIT, d->owner, (u16)b->number, g->first, g->last);
	b->state = BATCH_POSTED;
	b->frames_held = frames_held;
	b->committed = hw_cycles();
	d->counters.batches_posted++;
	d->frames_held += frames_held;
	d->frames_held_max = MAX(d->frames_held_max, d->frames_held);
	if (b->changed) {
		b->next = g->first;
		b->last = g->last;
		post_invalidations(d, b, g->first, g->last);
	}
	spin_unlock(&d->lock);
	iommu_batch_answer(b);
}

/* --- answers -------------------------------------------------------------- */

static void count_latency(struct iommu_domain *d, u64 ns)
{
	unsigned int bucket = 0;

	while (bucket < WEIR_LATENCY_BUCKETS - 1 && ns >= 1000UL << bucket)
		bucket++;
	(void)atomic_add(&d->counters.latency[bucket], 1);
}

bool commit_join(struct iommu_batch *b)
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

void commit_init(struct iommu_batch *b)
{
	for (u32 i = 0; i < iommu_nr_units; i++) {
		list_init(&b->unit[i].request.link);
		b->unit[i].request.done = unit_answered;
		b->unit[i].batch = b;
	}
}
