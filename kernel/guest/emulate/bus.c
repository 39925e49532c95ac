/* Port and memory ranges of a guest: a small array in the order of their addresses. */
#include <kernel/guest/emulate/bus.h>

#include <kernel/core/log.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

void bus_init(struct bus *b, const char *owner, const char *what)
{
	b->owner = owner;
	b->what = what;
	b->nr = 0;
	b->used = 0;
	spin_init(&b->lock, LOCK_BUS);
}

/* Under the lock. */
static void note_used(struct bus *b)
{
	u64 used = 0;

	for (u32 i = 0; i < b->nr; i++) {
		const struct bus_range *r = &b->range[i];
		u64 units = (r->last >> BUS_UNIT_SHIFT) - (r->first >> BUS_UNIT_SHIFT);
		u64 bits = units < 63 ? (2UL << units) - 1 : ~0UL;
		unsigned int by = r->first >> BUS_UNIT_SHIFT & 63;

		used |= bits << by | bits >> ((64 - by) & 63);
	}
	write_once(&b->used, used);
}

/* How many ranges begin at or below addr. Under the lock. */
static u32 after(const struct bus *b, u64 addr)
{
	const struct bus_range *r = b->range;
	u32 nr = b->nr;

	/* The answer lies in [r, r + nr]. */
	while (nr) {
		u32 half = nr / 2;

		if (r[half].first <= addr) {
			r += half + 1;
			nr -= half + 1;
		} else {
			nr = half;
		}
	}
	return (u32)(r - b->range);
}

int bus_add(struct bus *b, const struct bus_range *r)
{
	static struct log_limit limit = LOG_LIMIT_INIT(5); /* guests can cause it by moving BARs */
	int ret = 0;
	u32 at;

	spin_lock(&b->lock);
	at = after(b, r->first);
	if ((at && b->range[at - 1].last >= r->first) ||
	    (at < b->nr && b->range[at].first <= r->last))
		ret = -EEXIST;
	else if (b->nr == BUS_MAX_RANGES)
		ret = -ENOSPC;
	if (!ret) {
		memmove(&b->range[at + 1], &b->range[at], (b->nr - at) * sizeof(*r));
		b->range[at] = *r;
		b->nr++;
		note_used(b);
	}
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
	u32 at;

	spin_lock(&b->lock);
	at = after(b, first);
	if (at && b->range[at - 1].first == first) {
		memmove(&b->range[at - 1], &b->range[at], (b->nr - at) * sizeof(b->range[0]));
		b->nr--;
		note_used(b);
	}
	spin_unlock(&b->lock);
}

/* Copies the range, which may be removed as soon as the lock is dropped. Its ctx lives as long as
 * the domain. */
static __always_inline bool find(struct bus *b, u64 addr, unsigned int size,
				 struct bus_range *found)
{
	bool hit;
	u32 at;

	if (!(read_once(&b->used) & bus_unit(addr)))
		return false;
	spin_lock(&b->lock);
	at = after(b, addr);
	hit = at && addr + (size - 1) <= b->range[at - 1].last;
	if (hit)
		*found = b->range[at - 1];
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
