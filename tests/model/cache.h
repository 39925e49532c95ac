/* A cache of translations, looked up by domain id and device frame, invalidated by domain or range.
 * The IOTLB, the paging-structure caches and the device TLBs are instances of it. */
#pragma once

#include <kernel/lib/list.h>
#include <kernel/lib/types.h>

#define CACHE_ENTRIES 2048u
#define CACHE_BUCKETS 1024u
#define CACHE_DOMAINS 80u

struct cached {
	struct list bucket, domain; /* links */
	u16 did;
	u8 order; /* of the range, in frames */
	u8 perm; /* SS_R, SS_W; 0: a cached not-present entry */
	dfn_t dfn; /* aligned to the order */
	mfn_t mfn; /* what the range maps to, or the table for it */
};

struct cache {
	struct cached entry[CACHE_ENTRIES];
	struct list bucket[CACHE_BUCKETS], domain[CACHE_DOMAINS], free;
	unsigned int used;
	/* By frame: the number of cached entries that lead to it; NULL: not counted. */
	u32 *users;
};

void cache_init(struct cache *c, u32 *users);
/* If the cache is full, another entry is dropped. An entry that exists is not added again. */
void cache_add(struct cache *c, struct cached e);
/* An entry that covers dfn, or NULL; if there are several, a random one if `any`, else the
 * smallest. */
const struct cached *cache_find(struct cache *c, u16 did, dfn_t dfn, bool any);

void cache_drop_all(struct cache *c);
void cache_drop_domain(struct cache *c, u16 did);
/* Drops entries that lie in the 1 << order frames from dfn on, or that overlap them if `partly`. */
void cache_drop_range(struct cache *c, u16 did, dfn_t dfn, unsigned int order, bool partly);
/* Drops a random entry, if the slot that is chosen is in use. */
void cache_drop_some(struct cache *c);

/* All entries of a domain id. */
#define cache_for_each(pos, c, did) list_for_each(pos, &(c)->domain[did], domain)

static inline bool cached_overlaps(const struct cached *e, dfn_t dfn, u64 nr)
{
	return e->dfn < dfn + nr && dfn < e->dfn + (1UL << e->order);
}
