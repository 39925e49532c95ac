/* Gathers: changes of a domain's tables are accumulated. iommu/commit.c flushes them together. */
#include <iommu/domain.h>
#include <iommu/table.h>
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
	d->batch_wanted = true;
	domain_held_up(d);
	return NULL;
}

static void start_gather(struct iommu_gather *g, struct iommu_batch *b)
{
	b->user.step = NULL;
	b->structural = b->split = b->changed = b->tables_released = false;
	b->pending = 1; /* the commit */
	b->tombstones = b->frames_held = 0;
	b->next = 1;
	b->last = 0;
	b->deferred = NO_TABLE;
	g->domain = b->domain;
	g->batch = b;
	g->first = ~0UL;
	g->last = 0;
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
	start_gather(g, b);
	return 0;
}

int iommu_gather_begin_unmap(struct iommu_gather *g, struct iommu_domain *d)
{
	struct iommu_batch *b;

	spin_lock(&d->lock);
	b = take_free_batch(d);
	if (b)
		(void)fill_reserve(b);
	spin_unlock(&d->lock);
	if (!b)
		return -EAGAIN;
	start_gather(g, b);
	return 0;
}

bool iommu_gather_can_split(const struct iommu_gather *g)
{
	return g->batch->nr_reserve == RESERVE_TABLES || !iommu_nr_units;
}

bool gather_begin_or_wait(struct iommu_gather *g, struct iommu_domain *d, struct batch_waiter *w)
{
	struct iommu_batch *b;

	spin_lock(&d->lock);
	b = take_free_batch(d);
	if (!b && list_empty(&w->link))
		list_add_tail(&d->batch_waiters, &w->link);
	spin_unlock(&d->lock);
	if (b)
		start_gather(g, b);
	return b;
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

#ifdef WEIR_DEBUG
void iommu_gather_check(const struct iommu_gather *g)
{
	if (g->batch)
		panic("%s:%d: a gather of %s was dropped without its commit", g->file, g->line,
		      g->domain->name);
}
#endif
