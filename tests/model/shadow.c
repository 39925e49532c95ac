/* The shadow state: windows, frames, pending mappings. */
#include <stdlib.h>

#include <kernel/lib/string.h>
#include <kernel/mm/frame.h>
#include <tests/model/checker.h>

struct window windows[WINDOWS];
u32 nr_indices;
struct model_domain model_domains[DOMAINS];
struct model_device model_devices[VTD_DEVICES];

static struct {
	u8 holder;
	u16 mapped, tombs;
} *frames;

static u64 frame_index(mfn_t mfn)
{
	vtd_require(mfn >= VTD_RAM_FIRST && mfn < VTD_RAM_FIRST + VTD_RAM_FRAMES,
		    "frame 0x%lx was never granted to a domain", mfn);
	return mfn - VTD_RAM_FIRST;
}

/* --- windows -------------------------------------------------------------- */

void shadow_start(void)
{
	dfn_t limit = 1UL << 9 * iommu_common.levels,
	      boundary = iommu_common.levels > 3 ? 1UL << 27 : 100UL << 18;
	/* Small pages and unaligned ends; two gigabytes; around a boundary of the top-level tables;
	 * the end of the address space. */
	const struct window wanted[WINDOWS] = {
		{ 0, 0x4000, 0 },
		{ 1UL << 18, 2 << 18, 0 },
		{ boundary - 0x1000, 0x2000, 0 },
		{ limit - 0x1000, 0x1000, 0 },
	};

	nr_indices = 0;
	for (unsigned int i = 0; i < WINDOWS; i++) {
		windows[i] = wanted[i];
		windows[i].index = nr_indices;
		nr_indices += wanted[i].nr;
	}
	frames = calloc(VTD_RAM_FRAMES, sizeof(*frames));
	memset(model_domains, 0, sizeof(model_domains));
	nr_indices = ALIGN_UP(nr_indices, PART_OF_MAP);
	for (unsigned int i = 0; i < DOMAINS; i++) {
		model_domains[i].map = calloc(nr_indices, sizeof(struct mapping));
		model_domains[i].used = calloc(nr_indices / PART_OF_MAP, sizeof(bool));
	}
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		model_devices[i] = (struct model_device){ .domain = -1 };
}

void shadow_stop(void)
{
	for (unsigned int i = 0; i < DOMAINS; i++) {
		free(model_domains[i].map);
		free(model_domains[i].used);
		for (unsigned int b = 0; b < BATCHES_PER_DOMAIN; b++) {
			free(model_domains[i].batch[b].touched.r);
			free(model_domains[i].batch[b].unmapped.r);
			free(model_domains[i].batch[b].leaving.r);
		}
	}
	free(frames);
}

dfn_t shadow_dfn(u32 index)
{
	unsigned int i = WINDOWS - 1;

	while (index < windows[i].index)
		i--;
	return windows[i].first + (index - windows[i].index);
}

bool shadow_index(dfn_t dfn, u32 *index)
{
	for (unsigned int i = 0; i < WINDOWS; i++) {
		if (dfn >= windows[i].first && dfn - windows[i].first < windows[i].nr) {
			*index = windows[i].index + (u32)(dfn - windows[i].first);
			return true;
		}
	}
	return false;
}

/* --- frames --------------------------------------------------------------- */

u8 shadow_holder(mfn_t mfn)
{
	if (mfn < VTD_RAM_FIRST || mfn >= VTD_RAM_FIRST + VTD_RAM_FRAMES)
		return NOBODY;
	return frames[mfn - VTD_RAM_FIRST].holder;
}

void shadow_give(mfn_t mfn, u64 nr, u8 holder)
{
	for (u64 i = frame_index(mfn); nr--; i++)
		frames[i].holder = holder;
}

u32 shadow_mapped(mfn_t mfn)
{
	return frames[frame_index(mfn)].mapped;
}

u32 shadow_held(mfn_t mfn)
{
	return frames[frame_index(mfn)].mapped + frames[frame_index(mfn)].tombs;
}

/* --- ranges --------------------------------------------------------------- */

static void add_range(struct ranges *s, u32 first, u32 nr)
{
	if (s->nr && s->r[s->nr - 1].first + s->r[s->nr - 1].nr == first) {
		s->r[s->nr - 1].nr += nr;
		return;
	}
	if (s->nr == s->room) {
		s->room = s->room ? 2 * s->room : 16;
		s->r = realloc(s->r, s->room * sizeof(*s->r));
		vtd_require(s->r, "the host is out of memory");
	}
	s->r[s->nr++] = (struct range){ first, nr };
}

/* --- mappings ------------------------------------------------------------- */

static u8 slot_holder(const struct model_domain *m)
{
	return (u8)(m - model_domains + 1);
}

bool shadow_batches_out(const struct model_domain *m)
{
	for (unsigned int b = 0; b < BATCHES_PER_DOMAIN; b++)
		if (m->batch[b].out)
			return true;
	return false;
}

void shadow_begin(struct model_domain *m, u32 batch)
{
	struct model_batch *b = &m->batch[batch];

	vtd_require(!b->out, "batch %u is given out a second time", batch);
	b->out = true;
	b->parties = b->lazy = 0;
	b->touched.nr = b->unmapped.nr = b->leaving.nr = 0;
}

static void doubt(struct mapping *e, u32 batch, u32 mfn)
{
	e->pending |= (u16)BIT(batch);
	for (unsigned int i = 0; i < OLD_FRAMES; i++) {
		if (e->old_batches[i] && e->old[i] != mfn)
			continue;
		e->old[i] = mfn;
		e->old_batches[i] |= (u16)BIT(batch);
		return;
	}
	e->unknown |= (u16)BIT(batch);
}

static void no_doubt(struct mapping *e, u32 batch)
{
	e->pending &= (u16)~BIT(batch);
	e->unknown &= (u16)~BIT(batch);
	for (unsigned int i = 0; i < OLD_FRAMES; i++)
		e->old_batches[i] &= (u16)~BIT(batch);
	if (!e->pending)
		e->may = e->sure = e->now ? e->perm : 0;
}

bool shadow_may_be_old(const struct mapping *e, mfn_t mfn)
{
	for (unsigned int i = 0; i < OLD_FRAMES; i++)
		if (e->old_batches[i] && e->old[i] == mfn)
			return true;
	return e->unknown;
}

void shadow_map_begin(struct model_domain *m, u32 batch, struct range at, mfn_t mfn, u8 perm)
{
	for (u32 k = at.first / PART_OF_MAP; k <= (at.first + at.nr - 1) / PART_OF_MAP; k++)
		m->used[k] = true;
	add_range(&m->batch[batch].touched, at.first, at.nr);
	for (u32 i = 0; i < at.nr; i++) {
		struct mapping *e = &m->map[at.first + i];

		if (e->now || shadow_holder(mfn + i) != slot_holder(m))
			continue;
		doubt(e, batch, (u32)(mfn + i));
		e->may |= perm;
	}
}

/* Treated as mapped and unmapped again, since it is unknown how far the call came. */
static void map_failed(struct model_domain *m, u32 batch, struct range at, mfn_t mfn)
{
	for (u32 i = 0; i < at.nr; i++) {
		if (m->map[at.first + i].now || shadow_holder(mfn + i) != slot_holder(m))
			continue;
		frames[frame_index(mfn + i)].tombs++;
		add_range(&m->batch[batch].unmapped, (u32)(mfn + i), 1);
	}
}

void shadow_map_end(struct model_domain *m, u32 batch, struct range at, mfn_t mfn, u8 perm, int r)
{
	bool again = false;

	if (r) {
		map_failed(m, batch, at, mfn);
		return;
	}
	for (u32 i = 0; i < at.nr; i++) {
		struct mapping *e = &m->map[at.first + i];

		vtd_require(!e->now, "0x%lx is mapped a second time", shadow_dfn(at.first + i));
		vtd_require(shadow_holder(mfn + i) == slot_holder(m),
			    "frame 0x%lx is mapped, but belongs to another domain", mfn + i);
		/* A tombstone was here: its batch has been answered, but not released. */
		again |= e->pending != BIT(batch);
		*e = (struct mapping){
			.now = (u32)(mfn + i),
			.pending = iommu_common.caching_mode ? (u16)BIT(batch) : 0,
			.perm = perm,
			.sure = iommu_common.caching_mode ? 0 : perm,
			.may = perm,
		};
		frames[frame_index(mfn + i)].mapped++;
	}
	if (again)
		checker_range(m, at);
}

void shadow_unmap(struct model_domain *m, u32 batch, struct range at)
{
	add_range(&m->batch[batch].touched, at.first, at.nr);
	for (u32 i = at.first; i < at.first + at.nr; i++) {
		struct mapping *e = &m->map[i];
		u64 f;

		if (!e->now)
			continue;
		f = frame_index(e->now);
		frames[f].mapped--;
		frames[f].tombs++;
		add_range(&m->batch[batch].unmapped, e->now, 1);
		doubt(e, batch, e->now);
		e->now = e->sure = 0;
	}
}

static void add_tombs(const struct ranges *s, int by)
{
	for (u32 k = 0; k < s->nr; k++)
		for (u64 i = frame_index(s->r[k].first), end = i + s->r[k].nr; i < end; i++)
			frames[i].tombs = (u16)(frames[i].tombs + by);
}

void shadow_leave(struct model_domain *m, u32 batch)
{
	struct model_batch *b = &m->batch[batch];

	/* Tombstones of other batches still hold a frame that was mapped twice. */
	add_tombs(&b->unmapped, -1);
	for (u32 k = 0; k < b->unmapped.nr; k++) {
		const struct range *r = &b->unmapped.r[k];

		for (mfn_t f = r->first; f < r->first + r->nr; f++) {
			if (shadow_held(f) || shadow_holder(f) != slot_holder(m))
				continue;
			shadow_give(f, 1, slot_holder(m) | LEAVING);
			add_range(&b->leaving, (u32)f, 1);
		}
	}
	add_tombs(&b->unmapped, 1);
}

/* The largest aligned block in [mfn, mfn + nr). */
static unsigned int order_in(mfn_t mfn, u64 nr)
{
	unsigned int order = MIN((unsigned int)__builtin_ctzl(mfn), (unsigned int)ORDER_1G);

	while (1UL << order > nr)
		order--;
	return order;
}

static void take_back(mfn_t mfn, u64 nr)
{
	shadow_give(mfn, nr, NOBODY);
	while (nr) {
		unsigned int order = order_in(mfn, nr);

		vtd_require(!frame_set(mfn, order, FRAME_WEIR, OWNER_WEIR),
			    "frames 0x%lx+%lu are given back, but still referenced "
			    "(the first one %lu times)",
			    mfn, 1UL << order, frame_dev_refs(mfn));
		mfn += 1UL << order;
		nr -= 1UL << order;
	}
}

void shadow_released(struct model_domain *m, u32 batch)
{
	struct model_batch *b = &m->batch[batch];

	vtd_require(b->out, "batch %u is released a second time", batch);
	vtd_require(!b->parties, "batch %u is released before all CPUs have answered", batch);
	for (u32 k = 0; k < b->touched.nr; k++) {
		struct range at = b->touched.r[k];

		for (u32 i = at.first; i < at.first + at.nr; i++)
			no_doubt(&m->map[i], batch);
		checker_range(m, at);
	}
	add_tombs(&b->unmapped, -1);
	for (u32 k = 0; k < b->leaving.nr; k++)
		take_back(b->leaving.r[k].first, b->leaving.r[k].nr);
	b->out = false;
}

u64 shadow_count_mapped(const struct model_domain *m)
{
	u64 n = 0;

	for (u32 i = 0; i < nr_indices; i++) {
		if (m->used[i / PART_OF_MAP])
			n += !!m->map[i].now;
		else
			i += PART_OF_MAP - 1;
	}
	return n;
}

void shadow_gone(struct model_domain *m)
{
	u8 holder = slot_holder(m);

	vtd_require(!shadow_batches_out(m), "a domain is gone before its batches");
	for (u32 k = 0; k < nr_indices / PART_OF_MAP; k++) {
		struct mapping *e = &m->map[k * PART_OF_MAP];

		for (u32 i = 0; m->used[k] && i < PART_OF_MAP; i++)
			if (e[i].now)
				frames[frame_index(e[i].now)].mapped--;
		if (m->used[k])
			memset(e, 0, PART_OF_MAP * sizeof(*e));
		m->used[k] = false;
	}
	m->alive = m->destroying = m->reserved = false;
	m->d = NULL;
	for (mfn_t f = VTD_RAM_FIRST; f < VTD_RAM_FIRST + VTD_RAM_FRAMES;) {
		mfn_t from = f;

		while (f < VTD_RAM_FIRST + VTD_RAM_FRAMES && shadow_holder(f) == holder)
			f++;
		if (f > from)
			take_back(from, f - from);
		else
			f++;
	}
}
