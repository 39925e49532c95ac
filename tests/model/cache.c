/* A cache of a unit or of a device, as lists of entries by domain id. */
#include <tests/model/cache.h>

#include <kernel/lib/atomic.h>
#include <tests/model/random.h>
#include <tests/model/vtd.h>

/* What an entry can cover: leaves and tables of all levels. */
static const u8 orders[] = { 0, 9, 18, 27, 36 };

static struct list *bucket_of(struct cache *c, u16 did, dfn_t dfn, unsigned int order)
{
	u64 key = (dfn >> order) * 0x9e3779b97f4a7c15UL + did * 0x85ebca6bUL + order * 0xc2b2ae35UL;

	return &c->bucket[key >> 40 & (CACHE_BUCKETS - 1)];
}

void cache_init(struct cache *c, u32 *users)
{
	list_init(&c->free);
	for (unsigned int i = 0; i < CACHE_BUCKETS; i++)
		list_init(&c->bucket[i]);
	for (unsigned int i = 0; i < CACHE_DOMAINS; i++)
		list_init(&c->domain[i]);
	for (unsigned int i = 0; i < CACHE_ENTRIES; i++)
		list_add_tail(&c->free, &c->entry[i].bucket);
	c->used = 0;
	c->users = users;
}

static void drop(struct cache *c, struct cached *e)
{
	if (c->users)
		(void)atomic_sub(&c->users[e->mfn], 1);
	list_del(&e->bucket);
	list_del(&e->domain);
	list_add_tail(&c->free, &e->bucket);
	c->used--;
}

static bool in_use(const struct cached *e)
{
	return e->domain.next && !list_empty(&e->domain);
}

void cache_drop_some(struct cache *c)
{
	struct cached *e = &c->entry[below(CACHE_ENTRIES)];

	if (in_use(e))
		drop(c, e);
}

void cache_add(struct cache *c, struct cached new)
{
	struct list *bucket = bucket_of(c, new.did, new.dfn, new.order);
	struct cached *e;

	vtd_require(new.did < CACHE_DOMAINS, "domain id %u was never given out", new.did);
	list_for_each(e, bucket, bucket)
		if (e->did == new.did && e->dfn == new.dfn && e->order == new.order &&
		    e->mfn == new.mfn && e->perm == new.perm)
			return;
	while (list_empty(&c->free))
		cache_drop_some(c);
	e = list_first(&c->free, struct cached, bucket);
	list_del(&e->bucket);
	*e = new;
	list_add_tail(bucket, &e->bucket);
	list_init(&e->domain);
	list_add_tail(&c->domain[e->did], &e->domain);
	c->used++;
	if (c->users)
		(void)atomic_add(&c->users[e->mfn], 1);
}

const struct cached *cache_find(struct cache *c, u16 did, dfn_t dfn, bool any)
{
	const struct cached *found = NULL, *e;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < sizeof(orders); i++) {
		dfn_t start = dfn & ~((1UL << orders[i]) - 1);

		list_for_each(e, bucket_of(c, did, start, orders[i]), bucket) {
			if (e->did != did || e->dfn != start || e->order != orders[i])
				continue;
			if (!any)
				return e;
			if (one_in(++nr))
				found = e;
		}
	}
	return found;
}

void cache_drop_domain(struct cache *c, u16 did)
{
	if (did < CACHE_DOMAINS)
		while (!list_empty(&c->domain[did]))
			drop(c, list_first(&c->domain[did], struct cached, domain));
}

void cache_drop_all(struct cache *c)
{
	for (u16 did = 0; did < CACHE_DOMAINS; did++)
		cache_drop_domain(c, did);
}

void cache_drop_range(struct cache *c, u16 did, dfn_t dfn, unsigned int order, bool partly)
{
	struct cached *e, *tmp;

	if (did >= CACHE_DOMAINS)
		return;
	list_for_each_safe(e, tmp, &c->domain[did], domain)
		if (cached_overlaps(e, dfn, 1UL << order) && (partly || e->order <= order))
			drop(c, e);
}
