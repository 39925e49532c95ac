/* Units that die, and come back. */
#include <tests/model/deaths.h>

#include <iommu/unit.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <tests/model/actions.h>
#include <tests/model/interleave.h>
#include <tests/model/random.h>

static bool die;
static bool held[DOMAINS]; /* the domains that wait for a unit that has died */

static bool any_dead(void)
{
	return vtd_dead[0] || vtd_dead[1];
}

void deaths_start(bool yes)
{
	die = yes;
	for (unsigned int i = 0; i < DOMAINS; i++)
		held[i] = false;
}

bool deaths_hold(const struct model_domain *m)
{
	return held[m - model_domains];
}

bool deaths_reach(unsigned int device)
{
	return vtd_dead[vtd_unit_of_device(device)];
}

bool deaths_noticed(unsigned int device)
{
	return deaths_reach(device) && !iommu_units[vtd_unit_of_device(device)].works;
}

bool deaths_allow(const struct model_domain *m, unsigned int device)
{
	/* Mostly, one domain survives the death of either unit. */
	return !die || m - model_domains != (vtd_unit_of_device(device) ? 0 : 2) || one_in(8);
}

void deaths_attached(const struct model_domain *m, unsigned int device)
{
	if (deaths_reach(device))
		held[m - model_domains] = true;
}

/* It has a device there, one is being attached or detached, or an invalidation is outstanding. */
static bool depends_on(const struct iommu_domain *d, unsigned int unit)
{
	if (d->devices_on[unit])
		return true;
	for (unsigned int b = 0; b < BATCHES_PER_DOMAIN; b++)
		if (!list_empty(&d->batch[b]->unit[unit].request.link))
			return true;
	return false;
}

void deaths_strike(void)
{
	unsigned int unit;

	if (!die || any_dead() || !one_in(1500))
		return;
	unit = (unsigned int)below(VTD_UNITS);
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		if (vtd_unit_of_device(i) == unit)
			vtd_device_states[i].suspect = true;
	for (unsigned int i = 0; i < DOMAINS; i++)
		held[i] = model_domains[i].alive && depends_on(model_domains[i].d, unit);
	say("unit %u dies; domains that depend on it: %s%s%s", unit, held[0] ? "0 " : "",
	    held[1] ? "1 " : "", held[2] ? "2" : "");
	vtd_refuse_type = 0;
	vtd_dead[unit] = true;
}

/* --- back to life --------------------------------------------------------- */

/* A unit that dies in silence is noticed when a domain that waits for it has no batch left. */
static void look(const struct model_domain *m, const struct iommu_unit *u)
{
	struct iommu_gather g[BATCHES_PER_DOMAIN];
	u32 nr = 0;
	int ret = 0;

	while (nr < BATCHES_PER_DOMAIN && !ret) {
		ret = iommu_gather_begin(&g[nr], m->d);
		nr += !ret;
	}
	for (u32 i = 0; i < nr; i++)
		iommu_gather_commit(&g[i], 0);
	vtd_settle();
	vtd_require(!ret || ret == -EAGAIN, "error %d", -ret);
	vtd_require(!ret || !u->works || !m->d->devices_on[u->index],
		    "unit %u has died, but is not noticed", u->index);
}

/* As after a reset: the queue is empty, and all that was not done is posted again. */
static void come_back(struct vtd_unit *hw, struct iommu_unit *u)
{
	struct iommu_queue *q = &u->queue;
	u32 events = vtd_reg32(hw, FSTS_REG) & ~(u32)(FSTS_IQE | FSTS_ITE);

	vtd_dead[u->index] = false;
	(void)vtd_answer_late(u->index, false);
	queue_finish_done(u);
	spin_lock(&q->lock);
	queue_take_back(u, NULL);
	q->tail = q->used = q->stale = 0;
	q->bad_slot = RING_ENTRIES;
	q->stuck = false;
	u->works = true;
	vtd_set_reg64(hw, IQH_REG, 0);
	vtd_set_reg64(hw, IQT_REG, 0);
	vtd_set_reg32(hw, FSTS_REG, 0);
	vtd_set_reg32(hw, ICS_REG, 0);
	queue_post_waiting(u);
	spin_unlock(&q->lock);
	vtd_raise_completion(hw);
	if (events & FSTS_CAUSES)
		vtd_raise_fault(hw, events);
}

bool deaths_end_now(void)
{
	return any_dead() && one_in(1000);
}

void deaths_end(void (*settle)(void))
{
	void (*hook)(void) = interleave_hook;
	unsigned int unit = vtd_dead[1];
	struct iommu_unit *u = &iommu_units[unit];

	settle();
	interleave_hook = NULL;
	for (unsigned int i = 0; i < DOMAINS; i++)
		if (held[i] && model_domains[i].alive)
			look(&model_domains[i], u);
	work_queue(&u->fault_work);
	vtd_settle();
	vtd_require(!u->works, "unit %u has died, but is not noticed", unit);
	settle();
	interleave_hook = NULL;
	say("unit %u comes back", unit);
	for (unsigned int i = 0; i < DOMAINS; i++)
		held[i] = false;
	come_back(&vtd_units[unit], u);
	interleave_hook = hook;
	settle();
}
