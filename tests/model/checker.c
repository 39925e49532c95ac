/* Compares the contents of the units' caches and the results of walks with the shadow state. */
#include <iommu/entry.h>
#include <kernel/mm/frame.h>
#include <tests/model/checker.h>
#include <tests/model/deaths.h>
#include <tests/model/random.h>

static bool is_reserved(dfn_t dfn)
{
	return dfn >= VTD_RESERVED_FIRST && dfn < VTD_RESERVED_FIRST + VTD_RESERVED_FRAMES;
}

/* NULL: a device of the domain may access mfn at dfn in this way; otherwise the reason why not. */
static const char *why_wrong(const struct model_domain *m, dfn_t dfn, mfn_t mfn, u8 perm)
{
	const struct mapping *e;
	u32 index;
	u8 holder;

	if (!shadow_index(dfn, &index)) {
		if (!is_reserved(dfn) || !m->reserved || mfn != dfn)
			return "nothing was ever mapped there";
		return NULL;
	}
	holder = shadow_holder(mfn) & (u8)~LEAVING;
	if (holder != m - model_domains + 1)
		return holder == NOBODY ? "that frame was given back" :
					  "that frame belongs to another domain";
	e = &m->map[index];
	if (e->now != mfn && !shadow_may_be_old(e, mfn))
		return e->now ? "something else is mapped there" : "nothing is mapped there";
	if (perm & ~e->may)
		return "the permissions do not allow it";
	return NULL;
}

static void check_frame(const struct model_domain *m, dfn_t dfn, mfn_t mfn, u8 perm, const char *by)
{
	const char *why = why_wrong(m, dfn, mfn, perm);

	vtd_require(!why,
		    "domain %ld (id %u): %s leads device frame 0x%lx to frame 0x%lx "
		    "(%s%s): %s",
		    m - model_domains, m->did, by, dfn, mfn, perm & SS_R ? "r" : "",
		    perm & SS_W ? "w" : "", why);
}

/* --- accesses ------------------------------------------------------------- */

void checker_access(u32 device, dfn_t dfn, u8 perm, bool translated, bool reached, mfn_t mfn)
{
	const struct model_device *v = &model_devices[device];
	u32 index;

	if (reached) {
		vtd_require(v->domain >= 0, "device %u is unassigned, but reaches frame 0x%lx",
			    device, mfn);
		vtd_require(!translated || v->ats,
			    "device %u has no TLB, but a translated request passed", device);
		check_frame(&model_domains[v->domain], dfn, mfn, perm,
			    translated ? "a translated access" : "an access");
	} else if (v->sure && !vtd_stopped[device] && !translated && shadow_index(dfn, &index)) {
		vtd_require(!(model_domains[v->domain].map[index].sure & perm),
			    "device %u of domain %d cannot reach device frame 0x%lx, "
			    "which is mapped",
			    device, v->domain, dfn);
	}
}

/* --- caches --------------------------------------------------------------- */

/* A page cached as not present (caching mode) must not be mapped. */
static void check_absent(const struct model_domain *m, dfn_t dfn, const char *by)
{
	u32 index;

	vtd_require(!shadow_index(dfn, &index) || !m->map[index].sure,
		    "domain %ld (id %u): %s caches device frame 0x%lx as not present, "
		    "but it is mapped",
		    m - model_domains, m->did, by, dfn);
}

/* Checks the part of an entry in [dfn, dfn + nr): all of it if it is small, else samples. */
static void check_entry(const struct model_domain *m, const struct cached *e, dfn_t dfn, u64 nr,
			const char *by)
{
	dfn_t from = MAX(e->dfn, dfn), end = MIN(e->dfn + (1UL << e->order), dfn + nr);
	dfn_t last = end - 1;
	u64 step = 1 + (end - from) / 32;

	if (!e->perm) {
		check_absent(m, e->dfn, by);
		return;
	}
	for (dfn_t at = from; at < end; at += 1 + (step > 1 ? below(2 * step) : 0))
		check_frame(m, at, e->mfn + (at - e->dfn), e->perm, by);
	check_frame(m, last, e->mfn + (last - e->dfn), e->perm, by);
}

static void check_cache(const struct model_domain *m, struct cache *c, u16 did, dfn_t dfn, u64 nr,
			const char *by)
{
	const struct cached *e;

	cache_for_each(e, c, did)
		if (cached_overlaps(e, dfn, nr))
			check_entry(m, e, dfn, nr, by);
}

static void check_flights(const struct model_domain *m, const struct vtd_unit *u, dfn_t dfn, u64 nr)
{
	for (unsigned int i = 0; i < MAX_FLIGHTS; i++) {
		const struct flight *f = &u->flight[i];

		if (f->used && f->did == m->did && f->dfn - dfn < nr)
			check_frame(m, f->dfn, f->mfn, f->write ? SS_W : SS_R, "a DMA in flight");
	}
}

/* True if the unit would let translated requests of the device pass. */
static bool passes_translated(struct vtd_unit *u, unsigned int device)
{
	const struct context_copy *c = vtd_context(u, device);

	return c && c->ats;
}

struct walk_check {
	const struct model_domain *m;
	dfn_t dfn;
};

static void found(void *ctx, mfn_t mfn, u8 perm)
{
	const struct walk_check *c = ctx;

	check_frame(c->m, c->dfn, mfn, perm, "a walk");
}

static void check_unit(const struct model_domain *m, unsigned int unit, dfn_t dfn, u64 nr)
{
	struct vtd_unit *u = &vtd_units[unit];
	struct walk_check w = { m, dfn };

	pthread_mutex_lock(&u->lock);
	check_cache(m, &u->iotlb, m->did, dfn, nr, "an IOTLB");
	check_flights(m, u, dfn, nr);
	for (unsigned int i = 0; i < VTD_DEVICES; i++) {
		if (vtd_unit_of_device(i) != unit || model_devices[i].domain != m - model_domains)
			continue;
		if (passes_translated(u, i))
			check_cache(m, &vtd_device_states[i].tlb, 0, dfn, nr, "a device TLB");
		for (unsigned int k = 0; k < 4; k++) {
			w.dfn = k == 0 ? dfn : k == 1 ? dfn + nr - 1 : dfn + below(nr);
			vtd_try_walks(u, i, w.dfn, found, &w);
		}
	}
	pthread_mutex_unlock(&u->lock);
}

void checker_range(const struct model_domain *m, struct range at)
{
	/* A range of indices may cross windows. */
	for (unsigned int i = 0; i < WINDOWS; i++) {
		u32 first = MAX(at.first, windows[i].index),
		    end = MIN(at.first + at.nr, windows[i].index + windows[i].nr);

		for (unsigned int unit = 0; first < end && unit < VTD_UNITS; unit++)
			check_unit(m, unit, shadow_dfn(first), end - first);
	}
}

void checker_caches(void)
{
	for (unsigned int i = 0; i < DOMAINS; i++) {
		const struct model_domain *m = &model_domains[i];

		for (unsigned int unit = 0; m->alive && unit < VTD_UNITS; unit++)
			check_unit(m, unit, 0, 1UL << 45);
	}
	for (unsigned int unit = 0; unit < VTD_UNITS; unit++) {
		for (u16 did = 0; did < CACHE_DOMAINS; did++) {
			bool known = false;

			for (unsigned int i = 0; i < DOMAINS; i++)
				known |= model_domains[i].alive && model_domains[i].did == did;
			vtd_require(known || (list_empty(&vtd_units[unit].iotlb.domain[did]) &&
					      list_empty(&vtd_units[unit].pointers.domain[did])),
				    "unit %u has entries of domain id %u, which is unused", unit,
				    did);
		}
	}
}

/* --- quiet ---------------------------------------------------------------- */

static void check_references(void)
{
	u64 step = 1 + below(64);

	for (mfn_t f = VTD_RAM_FIRST; f < VTD_RAM_FIRST + VTD_RAM_FRAMES; f++) {
		/* All frames in the busy areas, samples elsewhere. */
		if ((f & 0x3ffff) >= 0x2000)
			f += step;
		if (f >= VTD_RAM_FIRST + VTD_RAM_FRAMES)
			break;
		/* They are equal, unless a unit has died. */
		vtd_require(frame_dev_refs(f) >= shadow_mapped(f) &&
				    frame_dev_refs(f) <= shadow_held(f),
			    "frame 0x%lx is mapped %u times and held %u times, "
			    "but has %lu references",
			    f, shadow_mapped(f), shadow_held(f) - shadow_mapped(f),
			    frame_dev_refs(f));
	}
}

/* Counts the reachable tables, including the one at `table`. */
static u64 count_tables(const u64 *table, unsigned int level)
{
	u64 n = 1;

	for (unsigned int i = 0; level > 1 && i < ENTRIES; i++)
		if (is_table(table[i], level))
			n += count_tables(table_at(table[i]), level - 1);
	return n;
}

static void check_counters(const struct model_domain *m)
{
	struct weir_stats s = { 0 };
	u64 mapped = shadow_count_mapped(m), reserved;

	iommu_domain_stats(m->d, &s);
	reserved = s.io_entries[0] + (s.io_entries[1] << 9) + (s.io_entries[2] << 18) - mapped;
	vtd_require(reserved == 0 || (reserved == VTD_RESERVED_FRAMES && m->reserved),
		    "%lu frames are mapped, but the leaves map %lu more", mapped, reserved);
	vtd_require(!m->d->tombstones, "%lu tombstones are left", m->d->tombstones);
	vtd_require(s.batches_in_flight == 0, "%lu batches are left", s.batches_in_flight);
	vtd_require(s.pages_held == 0, "%lu frames are held", s.pages_held);
	vtd_require(s.batches_posted == s.batches_completed, "%lu batches posted, %lu completed",
		    s.batches_posted, s.batches_completed);
	vtd_require(s.invalidations_posted == s.invalidations_completed,
		    "%lu invalidations posted, %lu completed", s.invalidations_posted,
		    s.invalidations_completed);
	vtd_require(s.io_tables == count_tables(m->d->root, iommu_common.levels),
		    "%lu tables are counted, but there are %lu", s.io_tables,
		    count_tables(m->d->root, iommu_common.levels));
	vtd_require(!m->d->structural, "a structural change never completes");
}

void checker_quiet(void)
{
	checker_caches();
	check_references();
	for (unsigned int i = 0; i < DOMAINS; i++)
		if (model_domains[i].alive && !deaths_hold(&model_domains[i]))
			check_counters(&model_domains[i]);
}
