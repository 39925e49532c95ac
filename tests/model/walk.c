/* How a unit handles a device's request: context entry, IOTLB, walk; and what it caches of them. */
#include <kernel/lib/atomic.h>
#include <tests/model/random.h>
#include <tests/model/unit.h>

bool vtd_whims;

#define FAULT_CONTEXT_NOT_PRESENT 0x2
#define FAULT_WRITE 0x5
#define FAULT_READ 0x6

/* --- context entries (9.3) ------------------------------------------------ */

void vtd_drop_context(struct vtd_unit *u, unsigned int device)
{
	struct context_copy *c = &u->context[device];

	if (c->valid && c->present)
		(void)atomic_sub(&vtd_pointers_to[c->root >> PAGE_SHIFT], 1);
	c->valid = false;
}

static void check_context(const struct vtd_unit *u, const struct context_copy *c, u64 lo, u64 hi)
{
	u64 type = lo & (3UL << 2);

	vtd_require(c->did, "a context entry with domain id 0");
	vtd_require(vtd_reg64(u, CAP_REG) & BIT(8 + c->levels - 2) & CAP_SAGAW,
		    "a context entry with %u levels, which the unit does not support", c->levels);
	vtd_require(!(lo & 0xff0 & ~type) && !(hi & ~(CONTEXT_AW | CONTEXT_DID)),
		    "a context entry with reserved bits: %016lx %016lx", hi, lo);
	vtd_require(type == CONTEXT_TT_UNTRANSLATED ||
			    (type == CONTEXT_TT_DEVICE_TLB && (vtd_reg64(u, ECAP_REG) & ECAP_DT)),
		    "a context entry of translation type %lu", type >> 2);
}

static void read_context(struct vtd_unit *u, u16 bdf, struct context_copy *c)
{
	paddr_t root = vtd_reg64(u, RTADDR_REG) & PAGE_MASK, entry;
	u64 lo, hi;

	c->present = c->quiet = false;
	lo = machine_walker_read(u, root + (bdf >> 8) * sizeof(struct root_entry));
	if (!(lo & ROOT_P))
		return;
	entry = (lo & PAGE_MASK) + (bdf & 0xff) * sizeof(struct context_entry);
	lo = machine_walker_read(u, entry);
	c->quiet = lo & CONTEXT_FPD;
	if (!(lo & CONTEXT_P))
		return;
	hi = machine_walker_read(u, entry + 8);
	*c = (struct context_copy){ .present = true,
				    .ats = (lo & (3UL << 2)) == CONTEXT_TT_DEVICE_TLB,
				    .did = (u16)FIELD_GET(CONTEXT_DID, hi),
				    .root = lo & SS_ADDR,
				    .levels = (unsigned int)FIELD_GET(CONTEXT_AW, hi) + 2 };
	check_context(u, c, lo, hi);
}

const struct context_copy *vtd_context(struct vtd_unit *u, unsigned int device)
{
	struct context_copy *c = &u->context[device];

	if (!(vtd_reg32(u, GSTS_REG) & GCMD_TE))
		return NULL;
	if (!c->valid) {
		read_context(u, vtd_devices[device].bdf, c);
		c->valid = c->present || (vtd_reg64(u, CAP_REG) & CAP_CM);
		if (c->present)
			(void)atomic_add(&vtd_pointers_to[c->root >> PAGE_SHIFT], 1);
	}
	return c->present ? c : NULL;
}

/* --- walks (9.8) ---------------------------------------------------------- */

static unsigned int order_at(unsigned int level)
{
	return 9 * (level - 1);
}

static void check_entry(const struct vtd_unit *u, u64 e, unsigned int level)
{
	u64 cap = vtd_reg64(u, CAP_REG), frames = 1UL << (e & SS_PS ? order_at(level) : 0);

	if (level > 1 && (e & SS_PS))
		vtd_require((level == 2 && (cap & CAP_SLLPS_2M)) ||
				    (level == 3 && (cap & CAP_SLLPS_1G)),
			    "a leaf of level %u, which the unit does not support", level);
	vtd_require(IS_ALIGNED((e & SS_ADDR) >> PAGE_SHIFT, frames),
		    "a leaf of level %u with reserved bits: %016lx", level, e);
	vtd_require(!(e & SS_SNP) ||
			    ((level == 1 || (e & SS_PS)) && (vtd_reg64(u, ECAP_REG) & ECAP_SC)),
		    "an entry of level %u with SNP: %016lx", level, e);
}

/* Walks from a table of `level`. If r.perm is 0, the entry at the end is not present. Pointers on
 * the way are cached in `pointers`, if that is not NULL; in caching mode also that there is none
 * (6.1). */
static struct cached walk(struct vtd_unit *u, u16 did, paddr_t table, unsigned int level, dfn_t dfn,
			  struct cache *pointers)
{
	struct cached r = { .did = did };

	for (;; level--) {
		u64 e = machine_walker_read(u, table + (dfn >> order_at(level) & 511) * 8);

		r.order = (u8)order_at(level);
		r.dfn = dfn & ~((1UL << r.order) - 1);
		r.mfn = (e & SS_ADDR) >> PAGE_SHIFT;
		r.perm = e & (SS_R | SS_W);
		if (!r.perm) {
			r.mfn = 0;
			if (pointers && level > 1 && (vtd_reg64(u, CAP_REG) & CAP_CM))
				cache_add(pointers, r);
			return r;
		}
		check_entry(u, e, level);
		if (level == 1 || (e & SS_PS))
			return r;
		table = e & SS_ADDR;
		if (pointers)
			cache_add(pointers, r);
	}
}

/* A unit may cache a superpage in pieces. */
static void keep_translation(struct cache *c, struct cached e, dfn_t dfn)
{
	while (vtd_whims && e.perm && e.order && one_in(3)) {
		e.order -= 9;
		e.mfn += (dfn - e.dfn) >> e.order << e.order;
		e.dfn = dfn & ~((1UL << e.order) - 1);
	}
	/* Not present: cached for a single page. */
	if (!e.perm) {
		e.order = 0;
		e.dfn = dfn;
		e.mfn = 0;
	}
	cache_add(c, e);
}

/* What both the tables and the unit can address (MGAW). */
static bool in_width(const struct vtd_unit *u, const struct context_copy *c, dfn_t dfn)
{
	return !(dfn >> order_at(c->levels + 1)) &&
	       !(dfn >> (FIELD_GET(CAP_MGAW, vtd_reg64(u, CAP_REG)) + 1 - PAGE_SHIFT));
}

/* Looks up the IOTLB, otherwise walks from the root or a cached pointer. */
static struct cached translate(struct vtd_unit *u, const struct context_copy *c, dfn_t dfn)
{
	const struct cached *hit = cache_find(&u->iotlb, c->did, dfn, vtd_whims);
	const struct cached *pointer;
	struct cache *p = &u->pointers;
	struct cached r;

	if (hit)
		return *hit;
	if (!in_width(u, c, dfn))
		return (struct cached){ .perm = 0 };
	pointer = cache_find(&u->pointers, c->did, dfn, vtd_whims);
	if (pointer && !pointer->perm)
		return (struct cached){ .perm = 0 };
	if (pointer && !(vtd_whims && one_in(4)))
		r = walk(u, c->did, pointer->mfn << PAGE_SHIFT, pointer->order / 9, dfn, p);
	else
		r = walk(u, c->did, c->root, c->levels, dfn, p);
	if (r.perm || (vtd_reg64(u, CAP_REG) & CAP_CM))
		keep_translation(&u->iotlb, r, dfn);
	return r;
}

struct attempt {
	void (*found)(void *ctx, mfn_t mfn, u8 perm);
	void *ctx;
};

static void try_one(struct vtd_unit *u, u16 did, paddr_t table, unsigned int level, dfn_t dfn,
		    const struct attempt *a)
{
	struct cached r = walk(u, did, table, level, dfn, NULL);

	if (r.perm)
		a->found(a->ctx, r.mfn + (dfn - r.dfn), r.perm);
}

void vtd_try_walks(struct vtd_unit *u, unsigned int device, dfn_t dfn,
		   void (*found)(void *ctx, mfn_t mfn, u8 perm), void *ctx)
{
	const struct context_copy *c = vtd_context(u, device);
	struct attempt a = { found, ctx };
	const struct cached *e;

	if (!c || !in_width(u, c, dfn))
		return;
	try_one(u, c->did, c->root, c->levels, dfn, &a);
	cache_for_each(e, &u->pointers, c->did)
		if (e->perm && cached_overlaps(e, dfn, 1))
			try_one(u, c->did, e->mfn << PAGE_SHIFT, e->order / 9u, dfn, &a);
}

/* --- requests ------------------------------------------------------------- */

/* Translated, and delayed on its way to memory. */
static void take_off(struct vtd_unit *u, const struct cached *e, dfn_t dfn, bool write)
{
	if (vtd_whims)
		u->flight[below(MAX_FLIGHTS)] = (struct flight){ true, write, e->did, dfn,
								 e->mfn + (dfn - e->dfn) };
}

static bool blocked(struct vtd_unit *u, unsigned int device, dfn_t dfn, bool write, u32 reason)
{
	if (vtd_whims && one_in(16) && !u->context[device].quiet) {
		vtd_device_states[device].faults++;
		vtd_record_fault(u, vtd_devices[device].bdf, dfn, write, reason);
	}
	return false;
}

static bool reach(struct vtd_unit *u, unsigned int device, dfn_t dfn, bool write, mfn_t *mfn)
{
	const struct context_copy *c = vtd_context(u, device);
	struct cached e;

	if (!c)
		return blocked(u, device, dfn, write, FAULT_CONTEXT_NOT_PRESENT);
	e = translate(u, c, dfn);
	if (!(e.perm & (write ? SS_W : SS_R)))
		return blocked(u, device, dfn, write, write ? FAULT_WRITE : FAULT_READ);
	*mfn = e.mfn + (dfn - e.dfn);
	if (one_in(4))
		take_off(u, &e, dfn, write);
	/* Adjacent pages are prefetched. */
	for (dfn_t next = dfn + 1; vtd_whims && one_in(2); next += below(3))
		(void)translate(u, c, next);
	return true;
}

static bool reach_translated(struct vtd_unit *u, u32 device, dfn_t dfn, bool write, mfn_t *mfn)
{
	const struct context_copy *c = vtd_context(u, device);
	struct cache *tlb = &vtd_device_states[device].tlb;
	const struct cached *e;
	struct cached new;

	if (!c || !c->ats)
		return false;
	e = cache_find(tlb, 0, dfn, vtd_whims);
	if (!e && vtd_ats[device]) {
		/* A translation request. */
		new = translate(u, c, dfn);
		new.did = 0;
		if (new.perm)
			keep_translation(tlb, new, dfn);
		e = cache_find(tlb, 0, dfn, vtd_whims);
	}
	if (!e || !(e->perm & (write ? SS_W : SS_R)))
		return false;
	*mfn = e->mfn + (dfn - e->dfn);
	return true;
}

bool vtd_access(struct pci_id dev, dfn_t dfn, bool write, mfn_t *mfn)
{
	unsigned int device = (unsigned int)vtd_device_index(dev);
	struct vtd_unit *u = &vtd_units[vtd_unit_of_device(device)];
	bool reached;

	pthread_mutex_lock(&u->lock);
	reached = reach(u, device, dfn, write, mfn);
	if (vtd_whims) {
		cache_drop_some(&u->iotlb);
		cache_drop_some(&u->pointers);
	}
	pthread_mutex_unlock(&u->lock);
	return reached;
}

bool vtd_translated_access(struct pci_id dev, dfn_t dfn, bool write, mfn_t *mfn)
{
	unsigned int device = (unsigned int)vtd_device_index(dev);
	struct vtd_unit *u = &vtd_units[vtd_unit_of_device(device)];
	bool reached;

	pthread_mutex_lock(&u->lock);
	reached = reach_translated(u, device, dfn, write, mfn);
	pthread_mutex_unlock(&u->lock);
	return reached;
}
