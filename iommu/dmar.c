/* The parser of the firmware's DMAR table (VT-d chapter 8). It trusts nothing: what is broken is
 * named in the log and left out, and if a device could then be given to a wrong domain, no unit
 * is used. */
#include <iommu/dmar.h>

#include <kernel/core/log.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

/* 8.1: the ACPI header, host address width - 1, flags, ten reserved bytes. */
#define TABLE_WIDTH 36
#define TABLE_FLAGS 37
#define TABLE_FIRST 48
#define FLAGS_INTR_REMAP 0x01
#define FLAGS_X2APIC_OPT_OUT 0x02 /* valid with INTR_REMAP only */
#define FLAGS_DMA_CTRL_OPT_IN 0x04

/* 8.2: remapping structure types. */
enum structure_type { DRHD, RMRR, ATSR, RHSA, ANDD, SATC, SIDP };

#define DRHD_LENGTH 16
#define DRHD_INCLUDE_PCI_ALL 0x01
#define RMRR_LENGTH 24
#define ATSR_LENGTH 8 /* SATC's too */
#define ATSR_ALL_PORTS 0x01
#define ANDD_NUMBER 7
#define ANDD_NAME 8

/* 8.3.1 */
#define SCOPE_LENGTH 6
enum scope_type {
	SCOPE_ENDPOINT = 1,
	SCOPE_SUB_HIERARCHY = 2,
	SCOPE_IOAPIC = 3,
	SCOPE_HPET = 4,
	SCOPE_ACPI = 5
};

/* The fields are not aligned. */
static u16 get16(const u8 *p)
{
	return (u16)(p[0] | p[1] << 8);
}

static u32 get32(const u8 *p)
{
	return get16(p) | (u32)get16(p + 2) << 16;
}

static u64 get64(const u8 *p)
{
	return get32(p) | (u64)get32(p + 4) << 32;
}

/* --- device scopes -------------------------------------------------------- */

/* The device scopes of one structure, one after the other. A device of the ACPI namespace (type 5)
 * is no PCI function, but the path says under which id its requests arrive (8.3.1). */
struct scope_cursor {
	const u8 *at, *end;
	u16 segment;
	dmar_bridge_fn bridge;
	const char *what; /* the structure's name, for messages */
	bool broken; /* a scope makes no sense: it and those behind it are lost */
	struct dmar_scope scope; /* the current one */
};

/* Follow the path of the scope at p from its start bus; false if it leads nowhere. */
static bool resolve_scope(struct scope_cursor *c, const u8 *p)
{
	struct dmar_scope *out = &c->scope;
	u8 bus = p[5], secondary, subordinate;
	u32 hops = (p[1] - SCOPE_LENGTH) / 2u;
	u16 bdf = 0;

	for (u32 i = 0; i < hops; i++) {
		const u8 *path = p + SCOPE_LENGTH + 2 * i;

		if (path[0] > 31 || path[1] > 7)
			return false;
		bdf = PCI_BDF(bus, path[0], path[1]);
		if (i + 1 == hops)
			break;
		if (!c->bridge(c->segment, bdf, &secondary, &subordinate))
			return false;
		bus = secondary;
	}
	*out = (struct dmar_scope){ .segment = c->segment, .bdf = bdf };
	if (p[0] == SCOPE_SUB_HIERARCHY) {
		out->sub_hierarchy = true;
		if (!c->bridge(c->segment, bdf, &out->first_bus, &out->last_bus))
			out->sub_hierarchy = false; /* an endpoint after all */
	}
	return true;
}

/* Go to the next scope that means requests of devices. False: there is none. */
static bool next_scope(struct scope_cursor *c)
{
	while (c->end - c->at >= SCOPE_LENGTH) {
		const u8 *p = c->at;
		u32 length = p[1];

		if (length < SCOPE_LENGTH + 2 || length > (u64)(c->end - p) || length % 2) {
			log_warn("iommu: DMAR: %s: a device scope of %u bytes is broken: "
				 "the rest is ignored",
				 c->what, length);
			c->broken = true;
			return false;
		}
		c->at += length;
		if (p[0] != SCOPE_ENDPOINT && p[0] != SCOPE_SUB_HIERARCHY && p[0] != SCOPE_ACPI)
			continue;
		if (resolve_scope(c, p))
			return true;
		log_warn("iommu: DMAR: %s: a device scope on bus 0x%x leads to no device: ignored",
			 c->what, p[5]);
	}
	if (c->at != c->end)
		log_warn("iommu: DMAR: %s: %u bytes left over", c->what, (u32)(c->end - c->at));
	return false;
}

/* --- structures ----------------------------------------------------------- */

static void add_unit_scope(struct dmar *d, const struct dmar_scope *s, u8 unit)
{
	if (d->nr_scopes == DMAR_MAX_SCOPES) {
		/* The device would be taken for one of the unit that has all others. */
		d->lost_scopes++;
		d->incomplete = true;
		return;
	}
	d->scope[d->nr_scopes] = *s;
	d->scope[d->nr_scopes++].unit = unit;
}

/* NULL if the unit can be used. */
static const char *why_unusable(const struct dmar *d, const struct dmar_unit *u)
{
	if (!u->base || u->base % PAGE_SIZE || u->base >> 52)
		return "makes no sense";
	for (u32 i = 0; i < d->nr_units; i++)
		if (d->unit[i].base == u->base)
			return "is the second there";
	return NULL;
}

/* The scopes of a unit that cannot be used are kept as well: its devices must not be taken for
 * those of the unit that has all others. */
static void parse_drhd(struct dmar *d, const u8 *p, u32 length, dmar_bridge_fn bridge)
{
	struct scope_cursor c;
	struct dmar_unit u;
	const char *why;
	u8 index = DMAR_NO_UNIT;

	if (length < DRHD_LENGTH) {
		log_warn("iommu: DMAR: a DRHD of %u bytes is too short", length);
		d->incomplete = true;
		return;
	}
	u = (struct dmar_unit){
		.base = get64(p + 8),
		.size = (u32)PAGE_SIZE << (p[5] & 0xf),
		.segment = get16(p + 6),
		.include_all = p[4] & DRHD_INCLUDE_PCI_ALL,
	};
	why = why_unusable(d, &u);
	if (why) {
		log_warn("iommu: DMAR: the unit at 0x%lx %s: ignored, and its devices with it",
			 u.base, why);
	} else if (d->nr_units == DMAR_MAX_UNITS) {
		d->lost_units++;
	} else {
		index = (u8)d->nr_units;
		d->unit[d->nr_units++] = u;
	}
	c = (struct scope_cursor){ p + DRHD_LENGTH, p + length, u.segment, bridge,
				   "DRHD",	    false,	{ 0 } };
	while (next_scope(&c))
		add_unit_scope(d, &c.scope, index);
	d->incomplete |= c.broken;
}

static void add_reserved(struct dmar *d, const struct dmar_scope *s, paddr_t first, paddr_t last)
{
	if (d->nr_reserved == DMAR_MAX_RESERVED) {
		/* A device that is missing here could be given away while the firmware still uses
		 * it. */
		d->lost_reserved++;
		d->incomplete = true;
		return;
	}
	d->reserved[d->nr_reserved++] = (struct dmar_reserved){ .first = first,
								.last = last,
								.device = *s };
}

static void parse_rmrr(struct dmar *d, const u8 *p, u32 length, dmar_bridge_fn bridge)
{
	struct scope_cursor c;
	paddr_t first, last;

	if (length < RMRR_LENGTH) {
		log_warn("iommu: DMAR: an RMRR of %u bytes is too short", length);
		d->incomplete = true;
		return;
	}
	first = get64(p + 8);
	last = get64(p + 16);
	if (first > last)
		log_warn("iommu: DMAR: an RMRR from 0x%lx to 0x%lx; its devices are not given away",
			 first, last);
	c = (struct scope_cursor){ p + RMRR_LENGTH, p + length, get16(p + 6), bridge,
				   "RMRR",	    false,	{ 0 } };
	while (next_scope(&c))
		add_reserved(d, &c.scope, first, last);
	d->incomplete |= c.broken;
}

static void add_ats(struct dmar *d, const struct dmar_scope *s)
{
	if (d->nr_ats == DMAR_MAX_ATS)
		d->lost_ats++;
	else
		d->ats[d->nr_ats++] = *s;
}

/* ATSR and SATC have the same layout; only in an ATSR the flag means all root ports. */
static void parse_atsr(struct dmar *d, const u8 *p, u32 length, dmar_bridge_fn bridge)
{
	const char *what = get16(p) == ATSR ? "ATSR" : "SATC";
	struct scope_cursor c;

	if (length < ATSR_LENGTH) {
		log_warn("iommu: DMAR: %s of %u bytes is too short: ignored", what, length);
		return;
	}
	if (get16(p) == ATSR && (p[4] & ATSR_ALL_PORTS)) {
		struct dmar_scope all = { .segment = get16(p + 6),
					  .sub_hierarchy = true,
					  .last_bus = 255 };

		add_ats(d, &all);
		return;
	}
	/* A scope that is lost here keeps a device TLB off, no more. */
	c = (struct scope_cursor){ p + ATSR_LENGTH, p + length, get16(p + 6), bridge, what,
				   false,	    { 0 } };
	while (next_scope(&c))
		add_ats(d, &c.scope);
}

/* The name of a device of the ACPI namespace (8.6), for people only. */
static void parse_andd(const u8 *p, u32 length)
{
	char name[64] = "";

	if (length <= ANDD_NAME) {
		log_warn("iommu: DMAR: an ANDD of %u bytes is too short: ignored", length);
		return;
	}
	for (u32 i = 0; i + 1 < sizeof(name) && ANDD_NAME + i < length && p[ANDD_NAME + i]; i++)
		name[i] = p[ANDD_NAME + i] > ' ' && p[ANDD_NAME + i] < 0x7f ?
				  (char)p[ANDD_NAME + i] :
				  '?';
	log_debug("iommu: DMAR: ACPI device %u is %s", p[ANDD_NUMBER], name);
}

static void log_limit(const char *what, u32 lost, const char *name, u32 max, const char *result)
{
	if (lost)
		log_warn("iommu: DMAR: %u %s more than %s (%u): %s; a Weir built with a larger %s "
			 "takes them",
			 lost, what, name, max, result, name);
}

/* Each limit that was reached is named once. */
static void log_limits(const struct dmar *d)
{
	static const char none[] = "no device can be assigned";

	log_limit("remapping units", d->lost_units, "DMAR_MAX_UNITS", DMAR_MAX_UNITS,
		  "the devices of these cannot be assigned");
	log_limit("device scopes", d->lost_scopes, "DMAR_MAX_SCOPES", DMAR_MAX_SCOPES, none);
	log_limit("reserved regions", d->lost_reserved, "DMAR_MAX_RESERVED", DMAR_MAX_RESERVED,
		  none);
	log_limit("root ports and devices with ATS", d->lost_ats, "DMAR_MAX_ATS", DMAR_MAX_ATS,
		  "their device TLBs stay off");
}

int dmar_parse(const void *table, size_t size, dmar_bridge_fn bridge, struct dmar *d)
{
	const u8 *p = table, *end = p + size;

	memset(d, 0, sizeof(*d));
	if (size < TABLE_FIRST) {
		log_warn("iommu: DMAR: a table of %u bytes is too short", (u32)size);
		return -EINVAL;
	}
	d->address_width = p[TABLE_WIDTH] + 1u;
	d->intr_remap = p[TABLE_FLAGS] & FLAGS_INTR_REMAP;
	d->dma_opt_in = p[TABLE_FLAGS] & FLAGS_DMA_CTRL_OPT_IN;

	for (p += TABLE_FIRST; end - p >= 4;) {
		u32 type = get16(p), length = get16(p + 2);

		if (length < 4 || length > (u64)(end - p)) {
			log_warn("iommu: DMAR: a structure of type %u and %u bytes is broken: "
				 "the rest is ignored",
				 type, length);
			d->incomplete = true;
			break;
		}
		if (type == DRHD)
			parse_drhd(d, p, length, bridge);
		else if (type == RMRR)
			parse_rmrr(d, p, length, bridge);
		else if (type == ATSR || type == SATC)
			parse_atsr(d, p, length, bridge);
		else if (type == ANDD)
			parse_andd(p, length);
		else
			log_debug("iommu: DMAR: ignoring a structure of type %u", type);
		p += length;
	}
	log_limits(d);
	return d->nr_units && !d->incomplete ? 0 : -EINVAL;
}

bool iommu_x2apic_opt_out(const void *table, size_t size)
{
	static const u8 both = FLAGS_INTR_REMAP | FLAGS_X2APIC_OPT_OUT;

	return table && size >= TABLE_FIRST && (((const u8 *)table)[TABLE_FLAGS] & both) == both;
}

/* --- questions ------------------------------------------------------------ */

static bool in_scope(const struct dmar_scope *s, struct pci_id dev)
{
	u8 bus = (u8)(dev.bdf >> 8);

	if (s->segment != dev.segment)
		return false;
	if (s->bdf == dev.bdf)
		return true;
	return s->sub_hierarchy && bus >= s->first_bus && bus <= s->last_bus;
}

int dmar_unit_of(const struct dmar *d, struct pci_id dev)
{
	for (u32 i = 0; i < d->nr_scopes; i++)
		if (in_scope(&d->scope[i], dev))
			return d->scope[i].unit == DMAR_NO_UNIT ? -1 : d->scope[i].unit;
	for (u32 i = 0; i < d->nr_units; i++)
		if (d->unit[i].include_all && d->unit[i].segment == dev.segment)
			return (int)i;
	return -1;
}

bool dmar_ats_allowed(const struct dmar *d, struct pci_id dev)
{
	for (u32 i = 0; i < d->nr_ats; i++)
		if (in_scope(&d->ats[i], dev))
			return true;
	return false;
}

bool dmar_is_reserved_for(const struct dmar *d, u32 i, struct pci_id dev)
{
	return in_scope(&d->reserved[i].device, dev);
}

const struct dmar_reserved *dmar_reserved_of(const struct dmar *d, struct pci_id dev)
{
	for (u32 i = 0; i < d->nr_reserved; i++)
		if (dmar_is_reserved_for(d, i, dev))
			return &d->reserved[i];
	return NULL;
}
