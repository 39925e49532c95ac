/* Port and memory ranges of a guest: a small array with linear search. A guest has only a few
 * ranges, and each access costs an exit anyway, so a faster search is not worth its code. */
#include <kernel/guest/emulate/bus.h>

#include <kernel/core/log.h>
#include <kernel/lib/errno.h>

void bus_init(struct bus *b, const char *owner, const char *what)
{
	b->owner = owner;
	b->what = what;
	b->nr = 0;
	spin_init(&b->lock, LOCK_BUS);
}

int bus_add(struct bus *b, const struct bus_range *r)
{
	static struct log_limit limit = LOG_LIMIT_INIT(5); /* guests can cause it by moving BARs */
	int ret = 0;

	spin_lock(&b->lock);
	for (u32 i = 0; i < b->nr; i++)
		if (r->first <= b->range[i].last && b->range[i].first <= r->last)
			ret = -EEXIST;
	if (!ret && b->nr == BUS_MAX_RANGES)
		ret = -ENOSPC;
	if (!ret)
		b->range[b->nr++] = *r;
	spin_unlock(&b->lock);

	if (ret == -ENOSPC && log_allowed(&limit))
		log_err("domain %s: all %u ranges of its %s that Weir can trap are in use "
			"(BUS_MAX_RANGES): what the guest put at 0x%lx is not there: give the "
			"guest fewer devices",
			b->owner, BUS_MAX_RANGES, b->what, r->first);
	return ret;
}

void bus_remove(struct bus *b, u64 first)
{
	spin_lock(&b->lock);
	for (u32 i = 0; i < b->nr; i++) {
		if (b->range[i].first == first) {
			b->range[i] = b->range[--b->nr];
			break;
		}
	}
	spin_unlock(&b->lock);
}

/* Copies the range, which may be removed as soon as the lock is dropped. Its ctx lives as long as
 * the domain. */
static bool find(struct bus *b, u64 addr, unsigned int size, struct bus_range *found)
{
	bool hit = false;

	spin_lock(&b->lock);
	for (u32 i = 0; i < b->nr && !hit; i++) {
		if (addr >= b->range[i].first && addr + (size - 1) <= b->range[i].last) {
			*found = b->range[i];
			hit = true;
		}
	}
	spin_unlock(&b->lock);
	return hit;
}

int bus_read(struct bus *b, struct vcpu *v, u64 addr, unsigned int size, u64 *value)
{
	struct bus_range r;

	*value = ~0UL >> (64 - 8 * size);
	if (find(b, addr, size, &r) && r.read)
		return r.read(r.ctx, v, addr - r.first, size, value);
	atomic_add(&b->absent, 1);
	return 0;
}

int bus_write(struct bus *b, struct vcpu *v, u64 addr, unsigned int size, u64 value)
{
	struct bus_range r;

	if (find(b, addr, size, &r) && r.write)
		return r.write(r.ctx, v, addr - r.first, size, value);
	atomic_add(&b->absent, 1);
	return 0;
}
