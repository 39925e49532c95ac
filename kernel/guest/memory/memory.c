/* The record of a domain's memory: where its RAM is, and mapping device registers for its CPUs. */
#include <kernel/guest/memory/memory.h>

#include <iommu/iommu.h>
#include <kernel/core/log.h>
#include <kernel/guest/memory/clear.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/guest/memory/shootdown.h>

int memory_init(struct memory *m, u16 owner, const char *name, void (*wake)(void *arg), void *arg)
{
	int ret = nested_init(&m->nested, owner);

	m->owner = owner;
	m->name = name;
	memory_clear_init(m);
	return ret ? ret : iommu_domain_create(&m->iommu, owner, name, wake, arg);
}

void memory_free(struct memory *m)
{
	nested_free(&m->nested);
}

/* Frames of RAM below the hole. */
static u64 low_frames(const struct memory *m)
{
	return MIN(m->pages_limit, GUEST_HOLE_START >> PAGE_SHIFT);
}

u64 memory_ram_from(const struct memory *m, gfn_t *gfn)
{
	u64 low = low_frames(m), high = m->pages_limit - low;
	gfn_t high_start = GUEST_HOLE_END >> PAGE_SHIFT;

	if (*gfn < low)
		return low - *gfn;
	if (high)
		*gfn = MAX(*gfn, high_start);
	return high - MIN(*gfn - high_start, high);
}

bool memory_is_ram(const struct memory *m, gfn_t gfn, u64 nr)
{
	gfn_t at = gfn;
	u64 follow = memory_ram_from(m, &at);

	return at == gfn && nr && nr <= follow;
}

int memory_map_device(struct memory *m, gfn_t *gfn, gfn_t end, mfn_t mfn, u64 *budget)
{
	struct nested_walk w = { &m->nested, *gfn, end - 1, *budget };
	int ret;

	spin_lock(&m->nested.lock);
	ret = nested_map_walk(&w, mfn, NESTED_READ | NESTED_WRITE | NESTED_DEVICE);
	spin_unlock(&m->nested.lock);
	*gfn = w.gfn;
	*budget = w.budget;
	return ret ? ret : (int)nested_walk_state(&w);
}

enum step memory_unmap_device(struct memory *m, gfn_t *gfn, gfn_t end, u64 *budget)
{
	struct nested_walk w = { &m->nested, *gfn, end - 1, *budget };

	spin_lock(&m->nested.lock);
	(void)nested_unmap_device(&w);
	spin_unlock(&m->nested.lock);
	if (nested_walk_state(&w) != STEP_DONE && w.budget) {
		log_warn("domain %s: no memory to unmap the device registers at 0x%lx", m->name,
			 w.gfn << PAGE_SHIFT);
		w.gfn = end;
	}
	*gfn = w.gfn;
	*budget = w.budget;
	/* The registers still belong to the domain, so there is no need to wait until its CPUs have
	 * flushed. */
	shootdown_kick(&m->nested);
	return nested_walk_state(&w);
}
