/* A cache of translations: found by domain id and device frame, dropped by domain or range. The
 * IOTLB, the paging-structure caches and device TLBs are all made of it. */
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
	u8 perm; /* SS_R, SS_W; none: known to be not present */
	dfn_t dfn; /* aligned to the order */
	mfn_t mfn; /* where the range lies, or the table for it */
};

struct cache {
	struct cached entry[CACHE_ENTRIES];
	struct list bucket[CACHE_BUCKETS], domain[CACHE_DOMAINS], free;
	unsigned int used;
	/* Counts, by frame, the entries that lead to it; NULL: nobody wants to know. */
	u32 *users;
};

void cache_init(struct cache *c, u32 *users);
/* Where the cache is full, something else goes. What is there already is not added. */
void cache_add(struct cache *c, struct cached e);
/* One of those that serve dfn, or NULL; a random one if there are several and `any`, else the
 * smallest. */
const struct cached *cache_find(struct cache *c, u16 did, dfn_t dfn, bool any);

void cache_drop_all(struct cache *c);
void cache_drop_domain(struct cache *c, u16 did);
/* What lies in the 1 << order frames from dfn on, or overlaps them if `partly`. */
void cache_drop_range(struct cache *c, u16 did, dfn_t dfn, unsigned int order, bool partly);
/* Some entry, if the one that chance points to is in use. */
void cache_drop_some(struct cache *c);

/* All entries of a domain id. */
#define cache_for_each(pos, c, did) list_for_each(pos, &(c)->domain[did], domain)

static inline bool cached_overlaps(const struct cached *e, dfn_t dfn, u64 nr)
{
	return e->dfn < dfn + nr && dfn < e->dfn + (1UL << e->order);
}
