/* Gather and commit: changes of a domain's tables are accumulated, then flushed together once. */
#include <iommu/devicetlb.h>
#include <iommu/domain.h>
#include <iommu/hw.h>
#include <iommu/release.h>
#include <iommu/table.h>
#include <iommu/trace.h>
#include <kernel/core/panic.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>

/* Top up the tables that stay with a batch from use to use. They are typed as tables from the
 * start, so that nothing can fail when they are put in place. They are not zeroed: a split writes
 * all of one. */
static bool fill_reserve(struct iommu_batch *b)
{
	while (iommu_nr_units && b->nr_reserve < RESERVE_TABLES) {
		u64 *t = table_alloc_raw(b->domain);

		if (!t)
			return false;
		b->reserve[b->nr_reserve++] = t;
	}
	return true;
}

static struct iommu_batch *take_free_batch(struct iommu_domain *d)
{
	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++) {
		struct iommu_batch *b = d->batch[i];

		if (b->state == BATCH_FREE) {
			b->state = BATCH_OPEN;
			d->nr_batches++;
			return b;
		}
	}
	return NULL;
}

int iommu_gather_begin(struct iommu_gather *g, struct iommu_domain *d)
{
	struct iommu_batch *b;

	spin_lock(&d->lock);
	b = take_free_batch(d);
	if (b && !fill_reserve(b)) {
		b->state = BATCH_FREE;
		d->nr_batches--;
		spin_unlock(&d->lock);
		return -ENOMEM;
	}
	spin_unlock(&d->lock);
	if (!b)
		return -EAGAIN;

	b->user.step = NULL;
	b->structural = b->split = b->changed = b->tables_released = false;
	b->pending = 1; /* the commit */
	b->tombstones = b->frames_held = 0;
	b->next = 1;
	b->last = 0;
	b->deferred = NO_TABLE;
	g->domain = d;
	g->batch = b;
	g->first = ~0UL;
	g->last = 0;
	return 0;
}

struct iommu_batch_user *iommu_gather_user(struct iommu_gather *g)
{
	return &g->batch->user;
}

struct iommu_batch_user *iommu_batch_user(struct iommu_batch *b)
{
	return &b->user;
}

u32 iommu_gather_number(const struct iommu_gather *g)
{
	return g->batch->number;
}

u32 iommu_batch_number(const struct iommu_batch *b)
{
	return b->number;
}

struct iommu_batch *iommu_gather_expect(struct iommu_gather *g)
{
	(void)atomic_add(&g->batch->pending, 1);
	return g->batch;
}

/* The invalidation for this gather on one unit: by pages if one descriptor covers the range, else
 * the whole domain. */
static struct qi_desc invalidation_for(const struct iommu_gather *g, const struct iommu_unit *u)
{
	const struct iommu_domain *d = g->domain;
	u32 am = g->first == g->last ? 0 : 64 - (u32)__builtin_clzl(g->first ^ g->last);

	/* The old translation of a superpage that was split is dropped only by a mask of its
	 * size. It may be cached until the gather that split it has completed. */
	if (d->splits || !(u->cap & CAP_PSI) || am > FIELD_GET(CAP_MAMV, u->cap))
		return qi_iotlb_domain(u, d->did);
	/* A walker may still have the address of a table that this gather, or one that has not
	 * completed, unlinked: until then every flush of this domain must include the
	 * paging-structure caches. */
	return qi_iotlb_pages(u, d->did, ALIGN_DOWN(g->first, 1UL << am), am, !d->structural);
}

/* Post one request to each unit that has devices of the domain. Under the lock no device is
 * attached meanwhile. */
static void post_invalidations(const struct iommu_gather *g, struct iommu_batch *b)
{
	struct iommu_domain *d = g->domain;

	assert_locked(&d->lock);
	for (u32 i = 0; i < iommu_nr_units; i++) {
		if (!d->devices_on[i])
			continue;
		b->unit[i].request.desc[0] = invalidation_for(g, &iommu_units[i]);
		b->unit[i].request.nr = 1;
		d->counters.iotlb_invalidations++;
		d->counters.invalidations_posted++;
		(void)atomic_add(&b->pending, 1);
		queue_submit(&iommu_units[i], &b->unit[i].request);
	}
	if (!list_empty(&d->device_tlbs))
		device_flush_tlbs(d, b, g->first, g->last);
}

#ifdef WEIR_DEBUG
void iommu_gather_check(const struct iommu_gather *g)
{
	if (g->batch)
		panic("%s:%d: a gather of %s was dropped without its commit", g->file, g->line,
		      g->domain->name);
}
#endif

void iommu_gather_commit(struct iommu_gather *g, u64 frames_held)
{
	struct iommu_domain *d = g->domain;
	struct iommu_batch *b = g->batch;

	g->batch = NULL;
	spin_lock(&d->lock);
	if (!b->changed && !b->user.step && read_once(&b->pending) == 1) {
		b->state = BATCH_FREE;
		spin_unlock(&d->lock);
		domain_batch_done(d);
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
		post_invalidations(g, b);
	}
	spin_unlock(&d->lock);
	iommu_batch_answer(b);
}
