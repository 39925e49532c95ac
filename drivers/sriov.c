/* Virtual functions (PCI Express Base 5.0, chapter 9): switched on at boot, and functions like all others from then on.
 *
 * A virtual function has a requester id of its own, so that tables of its own are walked for it. But its BARs are lines of the physical
 * function's SR-IOV capability, and whoever programs that one may tell the device which memory of theirs to use: it goes to the
 * control domain only (kernel/guest/devices/pci/assign.c), and no guest sees the capability.
 *
 * Firmware for servers gives these BARs addresses. Where it does not (SeaBIOS), they are put into what is left of the window of the
 * bridge above: what lies there is routed to this bus and to nothing else.
 */
#include <drivers/pci.h>

#include <drivers/pcibar.h>
#include <kernel/lib/atomic.h>
#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/lib/string.h>

/* 9.3.3: offsets in the capability. */
#define SRIOV_CONTROL 0x08
#define CONTROL_VF_ENABLE BIT(0)
#define CONTROL_VF_MEMORY BIT(3)
#define CONTROL_ARI BIT(4)
#define SRIOV_TOTAL_VFS 0x0e
#define SRIOV_NUM_VFS 0x10
#define SRIOV_FIRST_OFFSET 0x14
#define SRIOV_STRIDE 0x16
#define SRIOV_DEVICE_ID 0x1a
#define SRIOV_PAGE_SIZE 0x20
#define PAGE_SIZE_4K 1
#define SRIOV_BAR0 0x24

/* 9.3.3.3.1: not to be touched for so long after VF Enable. */
#define ENABLE_NS 100000000UL

#define MAX_BAR (1UL << 40)

/* 7.5.1.3, bridges. */
#define BRIDGE_MEMORY 0x20 /* base, limit: bits 31:20 */
#define BRIDGE_PREFETCHABLE 0x24
#define BRIDGE_PREFETCHABLE_64 1
#define BRIDGE_BASE_UPPER 0x28
#define BRIDGE_LIMIT_UPPER 0x2c
/* 7.5.3.15 and 16. */
#define PCIE_DEVCAP2 0x24
#define DEVCAP2_ARI_FORWARDING BIT(5)
#define PCIE_DEVCTL2 0x28
#define DEVCTL2_ARI_FORWARDING BIT(5)

static u16 read16(const struct pci_device *d, u32 offset)
{
	return pci_config_read16(d->id.segment, d->id.bdf, (u16)offset);
}

static u32 read32(const struct pci_device *d, u32 offset)
{
	return pci_config_read32(d->id.segment, d->id.bdf, (u16)offset);
}

static void write16(const struct pci_device *d, u32 offset, u16 value)
{
	pci_config_write16(d->id.segment, d->id.bdf, (u16)offset, value);
}

static void write32(const struct pci_device *d, u32 offset, u32 value)
{
	pci_config_write32(d->id.segment, d->id.bdf, (u16)offset, value);
}

static bool is_bridge(const struct pci_device *d)
{
	return d->header == 1;
}

static u8 secondary_of(const struct pci_device *bridge)
{
	return pci_config_read8(bridge->id.segment, bridge->id.bdf, PCI_SECONDARY_BUS);
}

/* --- where their registers lie ------------------------------------------------------------------------------------------------ */

struct window {
	u64 first, last; /* none if first > last */
};

static struct window memory_window(const struct pci_device *bridge)
{
	u32 v = read32(bridge, BRIDGE_MEMORY);

	return (struct window){ (v & 0xfff0) << 16, (v & 0xfff00000) | 0xfffff };
}

static struct window prefetchable_window(const struct pci_device *bridge)
{
	u32 v = read32(bridge, BRIDGE_PREFETCHABLE);
	struct window w = { (v & 0xfff0) << 16, (v & 0xfff00000) | 0xfffff };

	if ((v & 0xf) == BRIDGE_PREFETCHABLE_64) {
		w.first |= (u64)read32(bridge, BRIDGE_BASE_UPPER) << 32;
		w.last |= (u64)read32(bridge, BRIDGE_LIMIT_UPPER) << 32;
	}
	return w;
}

static bool overlaps(u64 first, u64 last, const struct window *w)
{
	return w->first <= w->last && w->first <= last && first <= w->last;
}

/* What is known of the addresses around the functions: the bridge above (NULL: a root bus), and those of their BARs that have been
 * dealt with. */
struct surroundings {
	const struct pci_device *above;
	struct window own[PCI_BARS];
	u32 nr_own;
};

/* The last byte of something that lies in [first, last]; 0: nothing does. */
static u64 taken(const struct surroundings *s, u64 first, u64 last)
{
	const struct pci_device *d;

	for (u32 i = 0; i < s->nr_own; i++)
		if (overlaps(first, last, &s->own[i]))
			return s->own[i].last;
	for (u32 i = 0; (d = pci_device_at(i)); i++) {
		struct window used[PCI_BARS + 2];
		u32 nr = 0;

		for (u32 k = 0; k < PCI_BARS; k++)
			if (pci_bar_is_memory(&d->bar[k]))
				used[nr++] = (struct window){ d->bar[k].base,
							      pci_bar_last(&d->bar[k]) };
		/* Bridges below; in those above it lies on purpose. */
		if (s->above && is_bridge(d) && d->id.bdf >> 8 >= secondary_of(s->above)) {
			used[nr++] = memory_window(d);
			used[nr++] = prefetchable_window(d);
		}
		for (u32 k = 0; k < nr; k++)
			if (overlaps(first, last, &used[k]))
				return used[k].last;
	}
	return 0;
}

/* `size` bytes, aligned to `align`, that nothing uses; 0: there are none. */
static u64 find_free(const struct surroundings *s, struct window w, u64 size, u64 align)
{
	u64 at = ALIGN_UP(w.first, align), end;

	/* One that begins at 0 was not set up. */
	while (w.first && at >= w.first && at <= w.last && size - 1 <= w.last - at) {
		end = taken(s, at, at + size - 1);
		if (!end)
			return at;
		at = ALIGN_UP(end + 1, align);
	}
	return 0;
}

/* An address for the BAR of `nr` functions. One of 32 bits, or one that must not be read ahead, cannot lie in the prefetchable window. */
static u64 choose(const struct surroundings *s, const struct pci_bar *b, u32 nr)
{
	u64 at = 0;

	if (!s->above)
		return 0;
	if (b->is64 && b->prefetchable)
		at = find_free(s, prefetchable_window(s->above), nr * b->size, b->size);
	return at ? at : find_free(s, memory_window(s->above), nr * b->size, b->size);
}

/* True if all of it is the functions' alone. */
static bool is_free(const struct surroundings *s, struct pci_bar b, u32 nr)
{
	for (; nr; nr--, b.base += b.size)
		if (!pci_bar_is_sane(&b) || taken(s, b.base, pci_bar_last(&b)))
			return false;
	return true;
}

/* What the first one has; those of the n'th lie n times their size behind. */
static const char *set_up_bars(const struct pci_device *pf, struct pci_bar bar[PCI_BARS], u32 nr)
{
	struct surroundings s = { .above = pci_bridge_above(pf) };

	memset(bar, 0, PCI_BARS * sizeof(*bar));
	for (u32 i = 0; i < PCI_BARS; i += 1 + bar[i].is64) {
		u16 reg = (u16)(pf->sriov + SRIOV_BAR0 + 4 * i);
		struct pci_bar *b = &bar[i];

		pci_size_bar(pf->id, reg, i + 1 < PCI_BARS, b);
		if (!b->size)
			continue;
		if (b->io || b->size < PAGE_SIZE || b->size > MAX_BAR)
			return "their BARs make no sense";
		if (!b->base) {
			b->base = choose(&s, b, nr);
			if (!b->base)
				return s.above ?
					       "the firmware gives their BARs no addresses, and the window of the bridge above has no room: make it larger" :
					       "the firmware gives their BARs no addresses, and on a root bus only it knows which are free: move the device behind a root port";
			write32(pf, reg, (u32)b->base);
			if (b->is64)
				write32(pf, reg + 4u, (u32)(b->base >> 32));
		}
		if (!is_free(&s, *b, nr))
			return "their BARs lie over something else";
		s.own[s.nr_own++] = (struct window){ b->base, b->base + nr * b->size - 1 };
	}
	return NULL;
}

/* --- where they are ------------------------------------------------------------------------------------------------------------ */

/* Functions above 7 are reached through a port that is told not to look at device numbers (6.13). It changes where the capability
 * says they are. */
static void allow_ari(const struct pci_device *pf)
{
	const struct pci_device *port = pci_bridge_above(pf);
	u32 control;

	if (!port || !port->pcie || !pf->ari ||
	    !(read32(port, port->pcie + PCIE_DEVCAP2) & DEVCAP2_ARI_FORWARDING))
		return;
	control = read16(port, port->pcie + PCIE_DEVCTL2);
	write16(port, port->pcie + PCIE_DEVCTL2, (u16)(control | DEVCTL2_ARI_FORWARDING));
	write16(pf, pf->sriov + SRIOV_CONTROL, (u16)CONTROL_ARI);
}

/* Their ids must be on buses that are routed to this device, and nobody else's. */
static const char *check_ids(const struct pci_device *pf, u32 first, u32 stride, u32 nr)
{
	const struct pci_device *above = pci_bridge_above(pf), *d;
	u32 last = pf->id.bdf + first + (nr - 1) * stride;
	u32 last_bus = above ? pci_config_read8(above->id.segment, above->id.bdf, PCI_SUBORDINATE_BUS) :
			       pf->id.bdf >> 8;

	if (!first || (nr > 1 && !stride) || last > 0xffff || last >> 8 > last_bus)
		return "the firmware has left no bus number for them";
	for (u32 i = 0; (d = pci_device_at(i)); i++) {
		if (d->id.segment != pf->id.segment)
			continue;
		for (u32 n = 0; n < nr; n++) {
			u32 id = pf->id.bdf + first + n * stride;

			if (d->id.bdf == id ||
			    (is_bridge(d) && d != above && secondary_of(d) == id >> 8))
				return "their ids are others' already";
		}
	}
	return NULL;
}

/* NULL, or why not. */
static const char *enable(struct pci_device *pf, u32 nr)
{
	u32 cap = pf->sriov, first, stride;
	struct pci_bar bar[PCI_BARS];
	const char *why;
	u64 until;

	if (!cap)
		return "it has no SR-IOV capability (which is read by ECAM)";
	if (nr > read16(pf, cap + SRIOV_TOTAL_VFS))
		return "it has not got so many";
	if (read16(pf, cap + SRIOV_CONTROL) & CONTROL_VF_ENABLE)
		return "the firmware has switched them on already";
	allow_ari(pf);
	write32(pf, cap + SRIOV_PAGE_SIZE, PAGE_SIZE_4K);
	write16(pf, cap + SRIOV_NUM_VFS, (u16)nr);
	first = read16(pf, cap + SRIOV_FIRST_OFFSET);
	stride = read16(pf, cap + SRIOV_STRIDE);
	why = check_ids(pf, first, stride, nr);
	if (!why)
		why = set_up_bars(pf, bar, nr);
	if (why)
		return why;

	write16(pf, cap + SRIOV_CONTROL,
		(u16)(read16(pf, cap + SRIOV_CONTROL) | CONTROL_VF_ENABLE | CONTROL_VF_MEMORY));
	for (until = clock_ns() + ENABLE_NS; clock_ns() < until;)
		cpu_relax();
	for (u32 n = 0; n < nr; n++) {
		struct pci_id id = { pf->id.segment, (u16)(pf->id.bdf + first + n * stride) };

		/* Their vendor reads as all ones, as if there were none. */
		if (pci_config_read32(id.segment, id.bdf, PCI_REVISION) == ~0u)
			return "they do not answer";
		if (!pci_add_virtual(pf, id.bdf, read16(pf, cap + SRIOV_DEVICE_ID), bar))
			return "there are too many functions";
		pf->nr_virtual++;
		for (u32 i = 0; i < PCI_BARS; i++)
			bar[i].base += bar[i].size;
	}
	return NULL;
}

void pci_enable_virtual(struct pci_id id, u32 nr)
{
	struct pci_device *pf = pci_find(id);
	const char *why = pf ? enable(pf, nr) : "there is no such device";
	const struct pci_device *d;
	char name[16];

	pci_name(id, name);
	if (why)
		log_err("sriov=%s,%u: %s", name, nr, why);
	if (!pf || !pf->nr_virtual)
		return;
	log_info("pci: %s has %u virtual function%s:", name, pf->nr_virtual,
		 pf->nr_virtual == 1 ? "" : "s");
	for (u32 i = 0; (d = pci_device_at(i)); i++)
		if (d->physical == pf)
			log_info("pci:   %s (%04x:%04x)", pci_name(d->id, name), d->vendor, d->device);
}
