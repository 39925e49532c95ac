/* The units' invalidation queues (VT-d 6.5.2). */
#include <drivers/pci.h>
#include <kernel/core/paging.h>
#include <kernel/lib/atomic.h>
#include <tests/model/random.h>
#include <tests/model/unit.h>

enum vtd_answer (*vtd_device_answers)(u16 bdf);
unsigned int vtd_refuse_type, vtd_refusals;
u64 vtd_last_iotlb[2];

/* --- what descriptors do -------------------------------------------------- */

/* The granularities are those of the specification; `did` selects the entries that may be dropped:
 * entries of other domains stay. */
static void invalidate_context(struct vtd_unit *u, const struct qi_desc *d)
{
	u16 did = (u16)FIELD_GET(QI_DID, d->lo), sid = (u16)FIELD_GET(QI_CONTEXT_SID, d->lo);
	u64 granularity = d->lo & (3 << 4);

	for (unsigned int i = 0; i < VTD_DEVICES; i++) {
		struct context_copy *c = &u->context[i];

		/* Entries that are not present are cached under domain id 0. */
		if (granularity != QI_GLOBAL && (c->present ? c->did : 0) != did)
			continue;
		if (granularity != QI_DEVICE || vtd_devices[i].bdf == sid)
			vtd_drop_context(u, i);
	}
}

/* Requests translated earlier have reached memory afterwards, if the descriptor asks for it. */
static void drain(struct vtd_unit *u, const struct qi_desc *d, int did, dfn_t dfn, u32 order)
{
	for (unsigned int i = 0; i < MAX_FLIGHTS; i++) {
		struct flight *f = &u->flight[i];

		if ((did < 0 || f->did == did) && f->dfn >> order == dfn >> order &&
		    (d->lo & (f->write ? QI_IOTLB_DW : QI_IOTLB_DR)))
			f->used = false;
	}
}

static void invalidate_iotlb(struct vtd_unit *u, const struct qi_desc *d)
{
	unsigned int am = (unsigned int)FIELD_GET(QI_IOTLB_AM, d->hi);
	u16 did = (u16)FIELD_GET(QI_DID, d->lo);
	dfn_t dfn = d->hi >> PAGE_SHIFT;
	u64 cap = vtd_reg64(u, CAP_REG);

	if (u == &vtd_units[0]) {
		vtd_last_iotlb[0] = d->lo;
		vtd_last_iotlb[1] = d->hi;
	}
	vtd_require(!(d->lo & QI_IOTLB_DR) || (cap & CAP_DRD), "the unit does not drain reads");
	vtd_require(!(d->lo & QI_IOTLB_DW) || (cap & CAP_DWD), "the unit does not drain writes");
	switch (d->lo & (3 << 4)) {
	case QI_GLOBAL:
		cache_drop_all(&u->iotlb);
		cache_drop_all(&u->pointers);
		drain(u, d, -1, 0, 63);
		break;
	case QI_DOMAIN:
		cache_drop_domain(&u->iotlb, did);
		cache_drop_domain(&u->pointers, did);
		drain(u, d, did, 0, 63);
		break;
	case QI_PAGE:
		vtd_require((cap & CAP_PSI) && am <= FIELD_GET(CAP_MAMV, cap),
			    "the unit does not flush 2^%u pages", am);
		vtd_require(!(dfn & ((1UL << am) - 1)), "2^%u pages flushed from 0x%lx", am, dfn);
		/* The mask of a superpage must have its size (11.4.6: AM). */
		cache_drop_range(&u->iotlb, did, dfn, am, false);
		if (!(d->hi & QI_IOTLB_IH))
			cache_drop_range(&u->pointers, did, dfn, am, true);
		drain(u, d, did, dfn, am);
		break;
	default:
		vtd_fail("IOTLB invalidation with an invalid granularity");
	}
}

static void invalidate_interrupts(struct vtd_unit *u, const struct qi_desc *d)
{
	u64 first = d->lo & QI_IEC_INDEX ? FIELD_GET(QI_IEC_IIDX, d->lo) : 0;
	u64 im = FIELD_GET(QI_IEC_IM, d->lo), nr = d->lo & QI_IEC_INDEX ? 1UL << im : IRTE_PER_UNIT;

	vtd_require(im <= FIELD_GET(ECAP_MHMV, vtd_reg64(u, ECAP_REG)),
		    "the unit does not drop 2^%lu interrupt entries", im);
	vtd_require(!(first & (nr - 1)), "%lu interrupt entries dropped from %lu", nr, first);
	for (u64 i = first; i < first + nr && i < IRTE_PER_UNIT; i++)
		u->interrupt[i].valid = false;
}

/* --- waits ---------------------------------------------------------------- */

static void complete_wait(struct vtd_unit *u, const struct qi_desc *d)
{
	/* Some emulators abort on a descriptor with both flags. */
	vtd_require(!(d->lo & QI_WAIT_SW) != !(d->lo & QI_WAIT_IF), "a wait that does %s",
		    d->lo & QI_WAIT_SW ? "both" : "nothing");
	if (d->lo & QI_WAIT_SW)
		store_release((u32 *)phys_to_virt(d->hi), (u32)FIELD_GET(QI_WAIT_DATA, d->lo));
	else
		vtd_raise_completion(u);
}

/* A wait completes when everything between it and the previous wait has completed; descriptors
 * behind a wait without the fence flag may overtake it (6.5.2.11). False: the queue stays at the
 * wait. */
static bool take_wait(struct vtd_unit *u, const struct qi_desc *d)
{
	if (!u->waits_for_device || u->nr_parked) {
		complete_wait(u, d);
		return true;
	}
	if ((d->lo & QI_WAIT_FN) || u->nr_parked == MAX_PARKED)
		return false;
	u->parked[u->nr_parked++] = *d;
	return true;
}

/* --- device TLBs ---------------------------------------------------------- */

static unsigned int device_asked(const struct qi_desc *d)
{
	struct pci_id dev = { 0, (u16)FIELD_GET(QI_DEVICE_TLB_SID, d->lo) };

	return (unsigned int)vtd_device_index(dev);
}

/* The lowest zero bit of the address gives the size. */
static void answer(struct vtd_unit *u, const struct qi_desc *d)
{
	struct vtd_device *s = &vtd_device_states[device_asked(d)];
	dfn_t dfn = d->hi >> PAGE_SHIFT;
	unsigned int order = 0;

	if (d->hi & QI_DEVICE_TLB_S)
		order = (unsigned int)__builtin_ctzl(~dfn) + 1;
	if (order >= 52)
		cache_drop_all(&s->tlb);
	else
		cache_drop_range(&s->tlb, 0, ALIGN_DOWN(dfn, 1UL << order), order, true);
	s->outstanding--;
	u->waits_for_device = false;
	for (unsigned int i = 0; i < u->nr_parked; i++)
		complete_wait(u, &u->parked[i]);
	u->nr_parked = 0;
}

static void set_error_record(struct vtd_unit *u, u64 field, u16 sid)
{
	vtd_set_reg64(u, IQERCD_REG,
		      (vtd_reg64(u, IQERCD_REG) & ~field) | (u64)sid << __builtin_ctzl(field));
}

/* A time-out: pending waits are aborted, and no descriptor is taken until ITE is cleared
 * (6.5.2.10). A unit may already have fetched two waits behind the invalidation, or one, or
 * none. */
static void time_out(struct vtd_unit *u)
{
	unsigned int device = device_asked(&u->asked);
	u64 head = vtd_reg64(u, IQH_REG);

	vtd_device_states[device].outstanding--;
	vtd_device_states[device].guilty = true;
	u->waits_for_device = false;
	u->nr_parked = 0;
	/* The head stays where it is if the unit has refused the next descriptor. */
	for (u64 n = vtd_reg32(u, FSTS_REG) & FSTS_IQE ? 0 :
		     vtd_whims			       ? below(3) :
							 2;
	     n && head != vtd_reg64(u, IQT_REG); n--) {
		const u8 *ring = phys_to_virt(vtd_reg64(u, IQA_REG));
		const struct qi_desc *d = (const struct qi_desc *)(ring + head);

		if ((d->lo & 0xf) != QI_TYPE_WAIT)
			break;
		head = (head + sizeof(*d)) % PAGE_SIZE;
	}
	vtd_set_reg64(u, IQH_REG, head);
	/* Older units do not report the device's id. */
	set_error_record(u, IQERCD_ITESID, vtd_whims && one_in(2) ? vtd_devices[device].bdf : 0);
	vtd_raise_fault(u, FSTS_ITE);
}

static void ask_device(struct vtd_unit *u, const struct qi_desc *d)
{
	unsigned int device = device_asked(d), depth;
	struct pci_id physical;
	u16 pfsid;
	struct vtd_device *s = &vtd_device_states[device];
	enum vtd_answer how = vtd_device_answers ? vtd_device_answers(vtd_devices[device].bdf) :
						   VTD_ANSWERS;

	depth = (unsigned int)FIELD_GET(QI_DEVICE_TLB_MAX_PENDING, d->lo);
	depth = depth ? depth : 32;
	physical = pci_physical(vtd_devices[device]);
	vtd_require(depth <= vtd_ats_depth[vtd_device_index(physical)],
		    "device %u is said to have a queue of %u invalidations", device, depth);
	pfsid = (u16)(FIELD_GET(QI_DEVICE_TLB_PFSID_HI, d->lo) << 4 |
		      FIELD_GET(QI_DEVICE_TLB_PFSID_LO, d->lo));
	vtd_require(pfsid == (vtd_reg64(u, ECAP_REG) & ECAP_DIT ? physical.bdf : 0),
		    "device %u is said to be a function of %04x", device, pfsid);
	vtd_require(++s->outstanding <= depth,
		    "device %u has more invalidations in its queue than %u", device, depth);
	u->asked = *d;
	u->waits_for_device = true;
	if (how == VTD_ANSWERS)
		answer(u, d);
	else if (how == VTD_SILENT)
		time_out(u);
}

bool vtd_answer_late(unsigned int unit, bool timed_out)
{
	struct vtd_unit *u = &vtd_units[unit];
	bool waits;

	pthread_mutex_lock(&u->lock);
	waits = u->waits_for_device && !vtd_dead[unit];
	if (waits && timed_out)
		time_out(u);
	else if (waits)
		answer(u, &u->asked);
	pthread_mutex_unlock(&u->lock);
	return waits;
}

void vtd_unexpected_answer(unsigned int unit, u16 sid)
{
	struct vtd_unit *u = &vtd_units[unit];

	pthread_mutex_lock(&u->lock);
	if (!(vtd_reg32(u, FSTS_REG) & FSTS_ICE)) {
		struct pci_id dev = { 0, sid };

		if (sid)
			vtd_device_states[vtd_device_index(dev)].guilty = true;
		set_error_record(u, IQERCD_ICESID, sid);
		vtd_raise_fault(u, FSTS_ICE);
	}
	pthread_mutex_unlock(&u->lock);
}

/* --- the queue ------------------------------------------------------------ */

static void carry_out(struct vtd_unit *u, const struct qi_desc *d)
{
	switch (d->lo & 0xf) {
	case QI_TYPE_CONTEXT:
		invalidate_context(u, d);
		break;
	case QI_TYPE_IOTLB:
		invalidate_iotlb(u, d);
		break;
	case QI_TYPE_DEVICE_TLB:
		ask_device(u, d);
		break;
	case QI_TYPE_IEC:
		invalidate_interrupts(u, d);
		break;
	default:
		vtd_fail("descriptor %lx %lx has an invalid type", d->lo, d->hi);
	}
}

/* False: the unit stops. */
static bool take_one(struct vtd_unit *u)
{
	u64 head = vtd_reg64(u, IQH_REG);
	const struct qi_desc *at;
	struct qi_desc d;

	if (head == vtd_reg64(u, IQT_REG) || (vtd_reg32(u, FSTS_REG) & (FSTS_IQE | FSTS_ITE)))
		return false;
	at = (struct qi_desc *)((u8 *)phys_to_virt(vtd_reg64(u, IQA_REG)) + head);
	d = (struct qi_desc){ read_once(&at->lo), read_once(&at->hi) };
	/* The order of invalidations of two devices is unspecified: one at a time. */
	if (u->waits_for_device && (d.lo & 0xf) == QI_TYPE_DEVICE_TLB)
		return false;
	if (vtd_refuse_type && (d.lo & 0xf) == vtd_refuse_type) {
		vtd_refuse_type = --vtd_refusals ? vtd_refuse_type : 0;
		if ((d.lo & 0xf) == QI_TYPE_DEVICE_TLB)
			vtd_device_states[device_asked(&d)].suspect = true;
		vtd_raise_fault(u, FSTS_IQE);
		return false;
	}
	if ((d.lo & 0xf) == QI_TYPE_WAIT && !take_wait(u, &d))
		return false;
	/* The head is advanced when a descriptor has been fetched (11.4.8.1). */
	vtd_set_reg64(u, IQH_REG, (head + sizeof(d)) % PAGE_SIZE);
	if ((d.lo & 0xf) != QI_TYPE_WAIT)
		carry_out(u, &d);
	return true;
}

bool vtd_idle(unsigned int unit)
{
	struct vtd_unit *u = &vtd_units[unit];

	return vtd_reg64(u, IQH_REG) == vtd_reg64(u, IQT_REG) && !u->waits_for_device &&
	       !(vtd_reg32(u, FSTS_REG) & (FSTS_IQE | FSTS_ITE));
}

unsigned int vtd_execute(unsigned int unit, unsigned int n)
{
	struct vtd_unit *u = &vtd_units[unit];
	unsigned int done = 0;

	pthread_mutex_lock(&u->lock);
	while (done < n && !vtd_dead[unit] && (vtd_reg32(u, GSTS_REG) & GCMD_QIE) && take_one(u))
		done++;
	pthread_mutex_unlock(&u->lock);
	return done;
}

void vtd_settle(void)
{
	unsigned int rounds = 0;
	bool any;

	do {
		any = false;
		vtd_require(++rounds < 100000, "the machine does not settle");
		for (unsigned int i = 0; i < VTD_UNITS; i++) {
			any |= vtd_answer_late(i, false);
			any |= vtd_execute(i, ~0u) > 0;
		}
		any |= vtd_interrupts();
		/* Some work may wait for the hardware and poll again and again. */
		for (unsigned int n = 0; n < 1000 && vtd_work(); n++)
			any = true;
	} while (any);
}
