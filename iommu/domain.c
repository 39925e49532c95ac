/* I/O address spaces: creating, destroying and inspecting them. */
#include <iommu/domain.h>

#include <iommu/commit.h>
#include <iommu/entry.h>
#include <iommu/release.h>
#include <iommu/table.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

/* Guards the table; before a domain's lock. */
static struct spinlock registry_lock = SPINLOCK_INIT(LOCK_REGISTRY);
static struct iommu_domain *domains[MAX_IOMMU_DOMAINS];

static enum step destroy_step(struct work *w);

static void free_domain(struct iommu_domain *d)
{
	for (unsigned int i = 0; i < BATCHES_PER_DOMAIN; i++) {
		struct iommu_batch *b = d->batch[i];

		while (b && b->nr_reserve)
			free_page(b->reserve[--b->nr_reserve]);
		kfree(b);
	}
	kfree(d);
}

static bool make_batches(struct iommu_domain *d, u32 slot)
{
	size_t size = sizeof(struct iommu_batch) + iommu_nr_units * sizeof(struct unit_request);

	for (u32 i = 0; i < BATCHES_PER_DOMAIN; i++) {
		struct iommu_batch *b = kzalloc(size);

		if (!b)
			return false;
		b->domain = d;
		b->number = slot * BATCHES_PER_DOMAIN + i;
		commit_init(b);
		release_init(b);
		d->batch[i] = b;
	}
	return true;
}

/* A free place in the table, or MAX_IOMMU_DOMAINS. */
static u32 take_slot(struct iommu_domain *d)
{
	u32 usable = MAX_IOMMU_DOMAINS, slot;

	/* Domain ids count from 1. */
	if (iommu_nr_units)
		usable = MIN(usable, iommu_common.nr_domains - 1);
	spin_lock(&registry_lock);
	for (slot = 0; slot < usable && domains[slot]; slot++)
		;
	if (slot < usable)
		domains[slot] = d;
	else
		slot = MAX_IOMMU_DOMAINS;
	spin_unlock(&registry_lock);
	return slot;
}

/* From now on no walk finds the domain. */
static void free_slot(u32 slot)
{
	spin_lock(&registry_lock);
	domains[slot] = NULL;
	spin_unlock(&registry_lock);
}

int iommu_domain_create(struct iommu_domain **out, u16 owner, const char *name,
			void (*wake)(void *arg), void *arg)
{
	struct iommu_domain *d = kzalloc(sizeof(*d));
	u32 slot;

	if (!d)
		return -ENOMEM;
	spin_init(&d->lock, LOCK_IOMMU_DOMAIN);
	d->owner = owner;
	d->name = name;
	d->wake = wake;
	d->wake_arg = arg;
	d->snoop = iommu_common.snoop;
	d->coherent = iommu_common.coherent;
	list_init(&d->device_tlbs);
	list_init(&d->batch_waiters);
	work_init(&d->destroyer, destroy_step);

	slot = take_slot(d);
	if (slot == MAX_IOMMU_DOMAINS) {
		log_err("iommu: %s: no domain id is free (MAX_IOMMU_DOMAINS, or the units' limit)",
			name);
		kfree(d);
		return -ENOSPC;
	}
	d->did = (u16)(slot + 1);
	if (!make_batches(d, slot) || (iommu_nr_units && table_init(d))) {
		free_slot(slot);
		free_domain(d);
		return -ENOMEM;
	}
	*out = d;
	return 0;
}

unsigned int iommu_walk_owner(u16 owner, dfn_t dfn, u64 entry[5], mfn_t *mfn)
{
	unsigned int n = 0;

	*mfn = INVALID_MFN;
	spin_lock(&registry_lock);
	for (u32 i = 0; i < MAX_IOMMU_DOMAINS; i++)
		if (domains[i] && domains[i]->owner == owner)
			n = table_walk(domains[i], dfn, entry, mfn);
	spin_unlock(&registry_lock);
	return n;
}

unsigned int iommu_leaf_order(void)
{
	return order_of(iommu_common.largest);
}

unsigned int iommu_levels(void)
{
	return iommu_common.levels;
}

enum iommu_entry iommu_entry_kind(u64 entry, u32 *perm)
{
	*perm = (entry & SS_R ? IOMMU_READ : 0) | (entry & SS_W ? IOMMU_WRITE : 0);
	return is_present(entry)   ? IOMMU_ENTRY_PRESENT :
	       is_tombstone(entry) ? IOMMU_ENTRY_WAITS :
				     IOMMU_ENTRY_EMPTY;
}

/* --- destruction ---------------------------------------------------------- */

bool domain_free_batch(struct iommu_batch *b)
{
	struct iommu_domain *d = b->domain;
	bool wanted = d->batch_wanted;

	assert_locked(&d->lock);
	b->state = BATCH_FREE;
	d->batch_wanted = false;
	return wanted;
}

void domain_batch_done(struct iommu_domain *d, bool wake)
{
	/* The batch still counts while the owner is called: so d cannot go away. */
	if (wake)
		d->wake(d->wake_arg);
	spin_lock(&d->lock);
	/* All of them: those that find no batch wait again. */
	while (!list_empty(&d->batch_waiters)) {
		struct batch_waiter *w = list_first(&d->batch_waiters, struct batch_waiter, link);

		list_del(&w->link);
		work_queue(w->work);
	}
	d->nr_batches--;
	domain_destroy_if_idle(d);
	spin_unlock(&d->lock);
}

void domain_destroy_if_idle(struct iommu_domain *d)
{
	assert_locked(&d->lock);
	if (!d->destroying || d->nr_batches)
		return;
	for (u32 i = 0; i < iommu_nr_units; i++)
		if (d->devices_on[i])
			return;
	work_queue(&d->destroyer);
}

void domain_held_up(struct iommu_domain *d)
{
	assert_locked(&d->lock);
	for (u32 i = 0; i < iommu_nr_units; i++)
		if (d->devices_on[i])
			work_queue(&iommu_units[i].fault_work);
}

void iommu_domain_destroy(struct iommu_domain *d, void (*done)(void *arg), void *arg)
{
	spin_lock(&d->lock);
	d->destroying = true;
	d->destroyed = done;
	d->destroyed_arg = arg;
	domain_destroy_if_idle(d);
	spin_unlock(&d->lock);
}

/* No device can reach the tables, since each detach flushed the domain's translations, and no
 * batch is left. So they are released without a flush, one bounded step per call. */
static enum step destroy_step(struct work *w)
{
	struct iommu_domain *d = container_of(w, struct iommu_domain, destroyer);
	void (*done)(void *arg) = d->destroyed;
	void *arg = d->destroyed_arg;
	enum step tables = STEP_DONE;

	spin_lock(&d->lock);
	if (d->root)
		tables = table_destroy_step(d);
	spin_unlock(&d->lock);
	if (tables != STEP_DONE)
		return tables;
	BUG_ON(d->references || d->tombstones || d->tables);

	free_slot(d->did - 1);
	work_forget(w);
	free_domain(d);
	done(arg);
	return STEP_DONE;
}

/* --- inspection ----------------------------------------------------------- */

void iommu_domain_stats(const struct iommu_domain *d, struct weir_stats *s)
{
	struct iommu_domain *m = (struct iommu_domain *)d;
	const struct weir_stats *c = &d->counters;

	spin_lock(&m->lock);
	for (unsigned int i = 0; i < 3; i++)
		s->io_entries[i] = d->entries[i];
	s->io_tables = d->tables;
	s->io_splits = c->io_splits;
	s->io_collapses = c->io_collapses;
	s->io_tables_freed = c->io_tables_freed;
	s->io_references = d->references;
	s->pages_held = d->frames_held;
	s->pages_held_max = d->frames_held_max;
	s->batches_in_flight = d->nr_batches;
	s->batches_posted = c->batches_posted;
	s->batches_completed = c->batches_completed;
	s->iotlb_invalidations = c->iotlb_invalidations;
	s->context_invalidations = c->context_invalidations;
	s->device_tlb_invalidations = c->device_tlb_invalidations;
	s->devices_quarantined = c->devices_quarantined;
	s->invalidations_posted = c->invalidations_posted;
	s->invalidations_completed = read_once(&c->invalidations_completed);
	s->completion_interrupts = read_once(&c->completion_interrupts);
	memcpy(s->latency, c->latency, sizeof(s->latency));
	s->io_faults = read_once(&c->io_faults);
	memcpy(s->io_faults_by, c->io_faults_by, sizeof(s->io_faults_by));
	spin_unlock(&m->lock);
}
