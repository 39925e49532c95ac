/* The program's calls into the IOMMU core, each with a check of its result. */
#include <drivers/pci.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>
#include <tests/model/actions.h>
#include <tests/model/checker.h>
#include <tests/model/deaths.h>
#include <tests/model/program.h>
#include <tests/model/random.h>

static u64 injected; /* allocations that were made to fail */
static u64 fail_one_in; /* one in so many allocations fails; 0: none */

/* --- failing allocations -------------------------------------------------- */

static bool fail_allocation(unsigned int order)
{
	(void)order;
	if (!fail_one_in || !one_in(fail_one_in))
		return false;
	injected++;
	return true;
}

static u64 maybe_inject(void)
{
	fail_one_in = one_in(12) ? 1 + below(12) : 0;
	return injected;
}

/* -ENOMEM is allowed only if an allocation failed or memory is scarce. */
static void expect_error(int ret, u64 injected_before, bool others, const char *what)
{
	fail_one_in = 0;
	vtd_require(ret == -ENOMEM ? injected > injected_before || alloc_free_frames() < 8 : others,
		    "%s: unexpected error %d", what, -ret);
}

/* --- domains -------------------------------------------------------------- */

static long slot_of(const struct model_domain *m)
{
	return m - model_domains;
}

struct model_domain *some_domain(bool alive)
{
	struct model_domain *m = &model_domains[below(DOMAINS)];

	return m->alive == alive && !m->destroying ? m : NULL;
}

static void wake(void *arg)
{
	(void)arg;
}

void act_create(void)
{
	static const char *const names[DOMAINS] = { "zero", "one", "two" };
	struct model_domain *m = some_domain(false);
	u64 before;
	int ret;

	if (!m)
		return;
	before = maybe_inject();
	ret = iommu_domain_create(&m->d, MODEL_OWNER(slot_of(m)), names[slot_of(m)], wake, m);
	say("create domain %ld: %d", slot_of(m), ret);
	if (ret) {
		expect_error(ret, before, false, "create");
		return;
	}
	fail_one_in = 0;
	for (unsigned int i = 0; i < DOMAINS; i++)
		vtd_require(!model_domains[i].alive || model_domains[i].did != m->d->did,
			    "two domains have the id %u", m->d->did);
	m->did = m->d->did;
	m->alive = true;
	/* Some domains' devices are known before anything is mapped. */
	for (u64 n = program_step() ? below(3) : 0; n; n--)
		iommu_expect(m->d, vtd_devices[below(VTD_DEVICES)]);
}

static void gone(void *arg)
{
	struct model_domain *m = arg;

	say("domain %ld is gone", slot_of(m));
	shadow_gone(m);
	checker_caches();
}

static void destroy_if_alone(struct model_domain *m)
{
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		if (model_devices[i].domain == slot_of(m))
			return;
	say("domain %ld has no device left: destroyed", slot_of(m));
	iommu_domain_destroy(m->d, gone, m);
}

/* --- devices -------------------------------------------------------------- */

static void check_forgotten(unsigned int device, const struct model_domain *m)
{
	unsigned int unit = vtd_unit_of_device(device);
	struct vtd_unit *u = &vtd_units[unit];

	vtd_require(!vtd_context(u, device),
		    "device %u is detached, but its context entry is cached", device);
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		if (vtd_unit_of_device(i) == unit && model_devices[i].domain == slot_of(m))
			return;
	vtd_require(list_empty(&u->iotlb.domain[m->did]) && list_empty(&u->pointers.domain[m->did]),
		    "the last device of domain %ld behind unit %u is gone, "
		    "but its translations are still cached",
		    slot_of(m), unit);
}

/* Before a device is attached to another domain. */
static void reset(unsigned int device)
{
	struct vtd_device *s = &vtd_device_states[device];

	/* The error that it caused may not have been handled yet. */
	s->suspect |= s->guilty;
	s->guilty = false;
	s->faults = 0;
	vtd_gone[device] = false;
	s->suspect |= vtd_gone[vtd_device_index(pci_physical(vtd_devices[device]))];
	cache_drop_all(&s->tlb);
}

static void detached(void *arg)
{
	struct model_device *v = arg;
	unsigned int device = (unsigned int)(v - model_devices);
	struct model_domain *m = &model_domains[v->domain];

	say("device %u is detached", device);
	*v = (struct model_device){ .domain = -1 };
	check_forgotten(device, m);
	reset(device);
	if (m->destroying)
		destroy_if_alone(m);
}

void act_detach(unsigned int device)
{
	struct model_device *v = &model_devices[device];

	if (v->domain < 0 || v->detaching)
		return;
	say("detach device %u of domain %d", device, v->domain);
	remember_device(device);
	v->detaching = true;
	v->sure = false;
	iommu_detach(vtd_devices[device], detached, v);
}

/* The firmware reserves memory for it. */
static bool has_reserved(unsigned int device)
{
	return device == 2 || device == 3;
}

void act_attach(void)
{
	struct model_domain *m = some_domain(true);
	bool ats = one_in(2), reserved, taken;
	struct model_device *v;
	unsigned int device;
	u64 before;
	int ret;

	for (u64 tries = 1 + below(12); tries; tries--) {
		device = (unsigned int)below(VTD_DEVICES);
		v = &model_devices[device];
		taken = v->domain >= 0;
		if (!taken)
			break;
	}
	reserved = has_reserved(device);
	if (!m || !deaths_allow(m, device))
		return;
	if (!taken) {
		*v = (struct model_device){ .domain = (int)slot_of(m), .ats = ats };
		vtd_stopped[device] = false;
		reset(device);
		vtd_device_states[device].suspect |= deaths_reach(device);
		m->reserved |= reserved;
	}
	remember_device(device);
	before = maybe_inject();
	ret = iommu_attach(m->d, vtd_devices[device], ats ? IOMMU_ATS : 0);
	deaths_attached(m, device);
	say("attach device %u to domain %ld%s: %d", device, slot_of(m), ats ? ", ATS" : "", ret);
	if (!ret) {
		vtd_require(!taken, "device %u is attached twice", device);
		fail_one_in = 0;
		v->sure = !iommu_common.caching_mode;
		return;
	}
	expect_error(ret, before,
		     (ret == -EBUSY && taken) ||
			     (ret == -ENODEV && ats && iommu_why_no_ats(vtd_devices[device])) ||
			     (ret == -ENODEV && iommu_why_not_beside(m->d, vtd_devices[device])) ||
			     (ret == -ENODEV && deaths_noticed(device)) ||
			     (ret == -EAGAIN && reserved),
		     "attach");
	if (!taken)
		v->domain = -1;
}

static void heard(u16 owner, struct pci_id dev, enum iommu_event event)
{
	int device = vtd_device_index(dev);
	const struct vtd_device *s = &vtd_device_states[device];

	if (event != IOMMU_EVENT_QUARANTINED)
		return;
	say("device %d is quarantined", device);
	vtd_require(s->guilty || s->suspect || s->faults > 1000,
		    "device %d is quarantined, and has done nothing", device);
	vtd_require(model_devices[device].domain >= 0 &&
			    owner == MODEL_OWNER(model_devices[device].domain),
		    "device %d is said to be of owner %u", device, owner);
}

/* --- memory of domains ---------------------------------------------------- */

struct grant {
	mfn_t mfn;
	u64 nr;
};
#define GRANTS 24
static struct grant grants[DOMAINS][GRANTS];

static bool is_free(mfn_t mfn, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		if (shadow_holder(mfn + i) != NOBODY)
			return false;
	return true;
}

/* As whole blocks, so that a block can be referenced, or page by page. */
static void become(mfn_t mfn, u64 nr, u16 owner, bool whole)
{
	while (nr) {
		unsigned int order = whole ? MIN((unsigned int)__builtin_ctzl(mfn),
						 (unsigned int)ORDER_1G) :
					     0;

		while (1UL << order > nr)
			order--;
		vtd_require(!frame_set(mfn, order, FRAME_RAM, owner),
			    "frames 0x%lx+%lu have no owner, but are referenced", mfn,
			    1UL << order);
		mfn += 1UL << order;
		nr -= 1UL << order;
	}
}

static void grant(struct model_domain *m)
{
	/* The last gigabyte is granted as a whole, as long as it is free. */
	u64 choice = below(64), gigabyte = below(one_in(64) ? 3 : 2) << 18, nr;
	mfn_t mfn;

	if (choice < 3) {
		nr = 1UL << 18;
		mfn = VTD_RAM_FIRST + (2UL << 18);
	} else if (choice < 24) {
		nr = 512UL << below(3);
		mfn = VTD_RAM_FIRST + gigabyte + ALIGN_DOWN(below(0x2000 - nr), 512UL);
	} else {
		nr = 1 + below(600);
		mfn = VTD_RAM_FIRST + gigabyte + below(0x2000 - nr);
	}
	if (!is_free(mfn, nr))
		return;
	say("domain %ld gets frames 0x%lx+%lu", slot_of(m), mfn, nr);
	become(mfn, nr, MODEL_OWNER(slot_of(m)), !one_in(3));
	shadow_give(mfn, nr, (u8)(slot_of(m) + 1));
	grants[slot_of(m)][below(GRANTS)] = (struct grant){ mfn, nr };
}

void act_grant(void)
{
	struct model_domain *m = some_domain(true);

	if (m)
		grant(m);
}

/* A gigabyte of which the domain owns every frame. */
static bool whole_gigabyte(const struct model_domain *m, mfn_t *mfn)
{
	*mfn = VTD_RAM_FIRST + (below(3) << 18);
	for (u64 i = 0; i < 1UL << 18; i++)
		if (shadow_holder(*mfn + i) != slot_of(m) + 1)
			return false;
	return true;
}

/* A run of at most nr frames that the domain owns; 0: none found. */
static u64 some_frames(const struct model_domain *m, mfn_t *mfn, u64 nr, bool aligned)
{
	const struct grant *g = &grants[slot_of(m)][below(GRANTS)];
	u64 n = 0;

	if (!g->nr)
		return 0;
	*mfn = g->mfn + (one_in(2) ? 0 : below(g->nr));
	if (aligned)
		*mfn = ALIGN_UP(*mfn, 512UL);
	while (n < nr && shadow_holder(*mfn + n) == slot_of(m) + 1)
		n++;
	return n;
}

/* --- gathers -------------------------------------------------------------- */

static struct open_gather {
	struct iommu_gather g;
	struct model_domain *m; /* NULL: not open */
	u32 batch;
	bool full; /* its reserve may be used up */
} gathers[OPEN_GATHERS];

static struct {
	struct iommu_batch *b;
	struct model_batch *record;
} cpus[64];
static u32 nr_cpus;

static enum step release_step(struct iommu_batch *b)
{
	struct iommu_batch_user *u = iommu_batch_user(b);
	struct model_domain *m = u->owner;
	u32 batch = iommu_batch_number(b) % BATCHES_PER_DOMAIN;

	vtd_require(u->word[0] == batch, "batch %u has the words of batch %lu", batch, u->word[0]);
	if (m->batch[batch].lazy) {
		m->batch[batch].lazy--;
		return STEP_MORE;
	}
	say("batch %u of domain %ld is released", batch, slot_of(m));
	shadow_released(m, batch);
	return STEP_DONE;
}

static u32 batches_out(const struct model_domain *m)
{
	u32 n = 0;

	for (unsigned int b = 0; b < BATCHES_PER_DOMAIN; b++)
		n += m->batch[b].out;
	return n;
}

static struct open_gather *open_gather(struct model_domain *m)
{
	struct open_gather *o = NULL;
	u64 before;
	int ret;

	for (unsigned int i = 0; i < OPEN_GATHERS; i++)
		if (!gathers[i].m)
			o = &gathers[i];
	if (!o)
		return NULL;
	before = maybe_inject();
	ret = iommu_gather_begin(&o->g, m->d);
	if (ret) {
		say("begin in domain %ld: %d", slot_of(m), ret);
		/* Batches of reserved memory are not the program's, so they are not counted
		 * there. */
		expect_error(ret, before,
			     ret == -EAGAIN &&
				     (batches_out(m) >= BATCHES_PER_DOMAIN / 2 || deaths_hold(m)),
			     "begin");
		return NULL;
	}
	fail_one_in = 0;
	o->m = m;
	o->batch = iommu_gather_number(&o->g) % BATCHES_PER_DOMAIN;
	o->full = false;
	shadow_begin(m, o->batch);
	return o;
}

static void commit(struct open_gather *o)
{
	struct iommu_batch_user *u = iommu_gather_user(&o->g);
	struct model_domain *m = o->m;
	struct model_batch *b = &m->batch[o->batch];

	for (u64 n = one_in(4) ? below(3) : 0; n && nr_cpus < ARRAY_SIZE(cpus); n--) {
		cpus[nr_cpus].b = iommu_gather_expect(&o->g);
		cpus[nr_cpus++].record = b;
		b->parties++;
	}
	if (one_in(2))
		shadow_leave(m, o->batch);
	if (b->touched.nr || b->parties) {
		u->step = release_step;
		u->owner = m;
		u->word[0] = o->batch;
		b->lazy = one_in(4) ? (u32)below(3) : 0;
	} else {
		b->out = false;
	}
	while (nr_cpus && one_in(8))
		answer_one();
	say("commit batch %u of domain %ld, %u CPUs", o->batch, slot_of(m), b->parties);
	o->m = NULL;
	iommu_gather_commit(&o->g, b->unmapped.nr);
}

void answer_one(void)
{
	struct iommu_batch *b;
	u64 i;

	if (!nr_cpus)
		return;
	i = below(nr_cpus);
	b = cpus[i].b;
	say("a CPU answers batch %u", iommu_batch_number(b) % BATCHES_PER_DOMAIN);
	cpus[i].record->parties--;
	cpus[i] = cpus[--nr_cpus];
	iommu_batch_answer(b);
}

void commit_one(void)
{
	struct open_gather *o = &gathers[below(OPEN_GATHERS)];

	if (o->m)
		commit(o);
}

static void destroy(struct model_domain *m)
{
	say("destroy domain %ld", slot_of(m));
	for (unsigned int i = 0; i < OPEN_GATHERS; i++)
		if (gathers[i].m == m)
			commit(&gathers[i]);
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		if (model_devices[i].domain == slot_of(m))
			act_detach(i);
	m->destroying = true;
	destroy_if_alone(m);
}

void act_destroy(void)
{
	struct model_domain *m = some_domain(true);

	if (m)
		destroy(m);
}

/* --- changes -------------------------------------------------------------- */

static u8 some_perm(void)
{
	return one_in(4) ? (u8)(1 + below(2)) : SS_R | SS_W;
}

/* Often where something is mapped, else near it or anywhere. */
static struct range some_range(u64 max)
{
	const struct window *w = &windows[one_in(2) ? 0 : below(WINDOWS)];
	u64 kind = below(16), nr = kind < 8  ? 1 + below(40) :
				   kind < 15 ? 1 + below(1500) :
					       1UL << below(19);
	u64 space = w->nr > 0x4000 && one_in(4) ? w->nr : MIN(w->nr, 0x1000u);
	u64 at = below(space);

	if (one_in(2))
		at = ALIGN_DOWN(at, 512UL);
	if (space > 0x4000) /* ends inside one or two 1 GiB superpages */
		nr = 1 + below(1UL << below(20));
	if (one_in(40) && w->nr >= 1u << 18) {
		at = ALIGN_DOWN(at, 1UL << 18);
		nr = 1UL << 18;
	}
	nr = MIN(MIN(nr, max), w->nr - at);
	return (struct range){ w->index + (u32)at, (u32)nr };
}

static bool any_mapped(const struct model_domain *m, struct range at)
{
	for (u32 i = at.first; i < at.first + at.nr; i++)
		if (m->map[i].now)
			return true;
	return false;
}

static void map_some(struct open_gather *o)
{
	struct model_domain *m = o->m;
	struct range at = some_range(~0UL);
	bool foreign = one_in(50);
	u8 perm = some_perm();
	u64 before, nr;
	mfn_t mfn = 0, whole;
	int ret;

	nr = some_frames(m, &mfn, at.nr, one_in(2));
	if (!nr)
		grant(m);
	if (one_in(8) && whole_gigabyte(m, &whole)) {
		mfn = whole;
		nr = 1UL << 18;
		at = (struct range){ windows[1].index + (u32)(below(2) << 18), 1u << 18 };
		foreign = false;
	}
	if (foreign) {
		mfn = VTD_RAM_FIRST + (below(3) << 18) + below(0x1fff - 8);
		nr = MIN(at.nr, 1 + below(8));
		for (u64 i = 0; i < nr; i++)
			if (shadow_holder(mfn + i) & LEAVING)
				return;
	}
	if (!nr)
		return;
	/* The same offset in a 2 MiB superpage for both, so that a superpage is possible. */
	if (!one_in(4)) {
		struct range moved = { ALIGN_DOWN(at.first, 512u) + (u32)(mfn % 512), (u32)nr };
		u32 index;

		if (shadow_index(shadow_dfn(at.first), &index) && moved.first + nr < nr_indices &&
		    shadow_dfn(moved.first) + nr - 1 == shadow_dfn(moved.first + (u32)nr - 1))
			at.first = moved.first;
	}
	at.nr = (u32)MIN(nr, at.nr);
	if (shadow_dfn(at.first) + at.nr - 1 != shadow_dfn(at.first + at.nr - 1))
		return;

	remember_place(m, at);
	shadow_map_begin(m, o->batch, at, mfn, perm);
	before = maybe_inject();
	ret = iommu_map(&o->g, shadow_dfn(at.first), mfn, at.nr, perm);
	say("map in batch %u of domain %ld: 0x%lx+%u at frame 0x%lx, perm %u: %d", o->batch,
	    slot_of(m), shadow_dfn(at.first), at.nr, mfn, perm, ret);
	if (ret) {
		o->full = true;
		expect_error(ret, before,
			     (ret == -EAGAIN && shadow_batches_out(m)) ||
				     (ret == -EEXIST && any_mapped(m, at)) ||
				     ((ret == -EPERM || ret == -EBUSY) && foreign),
			     "map");
	}
	fail_one_in = 0;
	shadow_map_end(m, o->batch, at, mfn, perm, ret);
}

static void unmap_some(struct open_gather *o)
{
	struct range at = some_range(~0UL);

	o->full = true;
	remember_place(o->m, at);
	say("unmap in batch %u of domain %ld: 0x%lx+%u", o->batch, slot_of(o->m),
	    shadow_dfn(at.first), at.nr);
	shadow_unmap(o->m, o->batch, at);
	fail_one_in = 1;
	iommu_unmap(&o->g, shadow_dfn(at.first), at.nr);
	fail_one_in = 0;
}

void act_change(void)
{
	struct model_domain *m = some_domain(true);
	struct open_gather *o = m ? open_gather(m) : NULL;

	if (!o)
		return;
	/* Maps until a call fails or chance stops it, then at most one unmapping, which may use up
	 * the reserve. */
	while (!o->full && !one_in(3))
		map_some(o);
	if (!o->full && !one_in(4))
		unmap_some(o);
	/* Other gathers may be committed before this one. */
	if (!one_in(6))
		commit(o);
}

/* --- start ---------------------------------------------------------------- */

void actions_start(void)
{
	injected = fail_one_in = nr_cpus = 0;
	for (unsigned int i = 0; i < OPEN_GATHERS; i++)
		gathers[i].m = NULL;
	for (unsigned int i = 0; i < DOMAINS; i++)
		for (unsigned int k = 0; k < GRANTS; k++)
			grants[i][k].nr = 0;
	alloc_fail_hook = fail_allocation;
	iommu_set_event_hook(heard);
}

/* All of the domain's batches can be held at once. */
static void check_batches(struct model_domain *m)
{
	struct iommu_gather g[BATCHES_PER_DOMAIN];

	for (unsigned int b = 0; b < BATCHES_PER_DOMAIN; b++)
		vtd_require(!iommu_gather_begin(&g[b], m->d), "domain %ld has lost a batch",
			    slot_of(m));
	for (unsigned int b = 0; b < BATCHES_PER_DOMAIN; b++)
		iommu_gather_commit(&g[b], 0);
}

static void check_device(unsigned int i)
{
	struct model_device *v = &model_devices[i];
	struct model_domain *m = v->domain >= 0 ? &model_domains[v->domain] : NULL;

	v->sure = m && !v->detaching && !deaths_reach(i);
	vtd_require(!m || !deaths_noticed(i) || vtd_stopped[i],
		    "device %u is not stopped, but its unit has died", i);
	if (m && deaths_reach(i))
		return;
	/* Its reserved memory may wait for a batch. */
	if (v->detaching && deaths_hold(m) && has_reserved(i))
		return;
	vtd_require(!v->detaching, "device %u is never completely detached", i);
	vtd_require(!m || !vtd_device_states[i].guilty || vtd_stopped[i],
		    "device %u misbehaved, but is not quarantined", i);
	vtd_require(iommu_device_state(vtd_devices[i]) == (!m ? IOMMU_DEVICE_FREE :
							   vtd_stopped[i] ?
								IOMMU_DEVICE_QUARANTINED :
								IOMMU_DEVICE_ATTACHED),
		    "device %u is in state %d", i, iommu_device_state(vtd_devices[i]));
	if (!m)
		vtd_device_states[i].suspect = false;
}

static void check_domain(unsigned int i)
{
	struct model_domain *m = &model_domains[i];

	/* What it held until the unit died, it holds. */
	if (deaths_hold(m))
		return;
	m->reserved = false;
	for (unsigned int k = 0; k < VTD_DEVICES; k++)
		m->reserved |= model_devices[k].domain == (int)i && has_reserved(k);
	if (m->alive)
		check_batches(m);
	vtd_require(!m->destroying, "domain %u is never completely destroyed", i);
	for (unsigned int b = 0; b < BATCHES_PER_DOMAIN; b++)
		vtd_require(!m->batch[b].out, "batch %u of domain %u is lost", b, i);
}

void actions_check_quiet(void)
{
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		check_device(i);
	for (unsigned int i = 0; i < DOMAINS; i++)
		check_domain(i);
	irtes_check_quiet();
	checker_quiet();
}

void actions_commit_all(void)
{
	for (unsigned int i = 0; i < OPEN_GATHERS; i++)
		if (gathers[i].m)
			commit(&gathers[i]);
	while (nr_cpus)
		answer_one();
}

void actions_end(void)
{
	actions_commit_all();
	irtes_end();
	for (unsigned int i = 0; i < DOMAINS; i++)
		if (model_domains[i].alive && !model_domains[i].destroying)
			destroy(&model_domains[i]);
}
