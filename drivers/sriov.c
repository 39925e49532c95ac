/* Virtual functions (PCI Express Base 5.0, chapter 9): enabled at boot, and from then on functions
 * like all others.
 *
 * A virtual function has its own requester id, so the remapping unit walks the tables of its own
 * domain for it. But its BARs are registers of the physical function's SR-IOV capability, and the
 * owner of the physical function may tell the device which memory its virtual functions use. So the
 * physical function goes to the control domain only (kernel/guest/devices/pci/assignable.c), and no
 * guest sees the capability.
 *
 * Firmware for servers assigns addresses to these BARs. Where it does not (SeaBIOS), Weir puts them
 * into the free part of the window of the bridge above: addresses there are routed to this bus and
 * nowhere else. */
#include <drivers/sriov.h>

#include <drivers/pci.h>
#include <drivers/pcibar.h>
#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>

/* 9.3.3.3.1: the functions must be left alone for this long after VF Enable. */
#define ENABLE_NS 100000000UL

#define MAX_BAR_SIZE (1UL << 40)

/* --- addresses of their registers ----------------------------------------- */

struct window {
	u64 first, last; /* both included; empty if first > last */
};

/* A register with the base and the limit of a window: whole MiB. */
static struct window decode_window(u32 v)
{
	return (struct window){ (v & PCI_WINDOW_BASE) << 16, v | ~PCI_WINDOW_LIMIT };
}

static struct window memory_window(const struct pci_device *bridge)
{
	return decode_window(pci_read32(bridge, PCI_MEMORY_WINDOW));
}

static struct window prefetchable_window(const struct pci_device *bridge)
{
	u32 v = pci_read32(bridge, PCI_PREFETCHABLE_WINDOW);
	struct window w = decode_window(v);

	if ((v & PCI_WINDOW_TYPE) == PCI_WINDOW_TYPE_64) {
		w.first |= (u64)pci_read32(bridge, PCI_PREFETCHABLE_BASE_UPPER) << 32;
		w.last |= (u64)pci_read32(bridge, PCI_PREFETCHABLE_LIMIT_UPPER) << 32;
	}
	return w;
}

static bool overlaps(u64 first, u64 last, const struct window *w)
{
	return w->first <= w->last && w->first <= last && first <= w->last;
}

/* What is known about the addresses around the functions. */
struct surroundings {
	const struct pci_device *above; /* the bridge; NULL: a root bus */
	struct window own[PCI_BARS]; /* those of their BARs that have an address by now */
	u32 nr_own;
};

/* The last byte of something that overlaps [first, last]; 0: nothing does. */
static u64 find_overlap(const struct surroundings *s, u64 first, u64 last)
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
		/* Windows of bridges below. In those of bridges above it lies on purpose. */
		if (s->above && pci_is_bridge(d) && d->id.bdf >> 8 >= pci_secondary_bus(s->above)) {
			used[nr++] = memory_window(d);
			used[nr++] = prefetchable_window(d);
		}
		for (u32 k = 0; k < nr; k++)
			if (overlaps(first, last, &used[k]))
				return used[k].last;
	}
	return 0;
}

/* The address of `size` bytes in the window, aligned to `align`, that nothing uses; 0: there are
 * none. */
static u64 find_free(const struct surroundings *s, struct window w, u64 size, u64 align)
{
	u64 at = ALIGN_UP(w.first, align), end;

	/* A window that begins at 0 was not set up. */
	while (w.first && at >= w.first && at <= w.last && size - 1 <= w.last - at) {
		end = find_overlap(s, at, at + size - 1);
		if (!end)
			return at;
		at = ALIGN_UP(end + 1, align);
	}
	return 0;
}

/* An address for the BARs of `nr` functions; 0: there is none. A 32-bit BAR, or one that is not
 * prefetchable, cannot lie in the prefetchable window. */
static u64 choose_address(const struct surroundings *s, const struct pci_bar *b, u32 nr)
{
	u64 at = 0;

	if (!s->above)
		return 0;
	if (b->is64 && b->prefetchable)
		at = find_free(s, prefetchable_window(s->above), nr * b->size, b->size);
	return at ? at : find_free(s, memory_window(s->above), nr * b->size, b->size);
}

/* True if the BARs of all `nr` functions are sane and overlap nothing else. */
static bool is_free(const struct surroundings *s, struct pci_bar b, u32 nr)
{
	for (; nr; nr--, b.base += b.size)
		if (!pci_bar_is_sane(&b) || find_overlap(s, b.base, pci_bar_last(&b)))
			return false;
	return true;
}

/* Fill in the BARs of the first function; those of function n lie n times their size above. Returns
 * NULL, or what is wrong. */
static const char *set_up_bars(const struct pci_device *pf, struct pci_bar bar[PCI_BARS], u32 nr)
{
	static const char no_room[] = "the firmware assigned no addresses to their BARs, and the "
				      "window of the bridge above has no room: make it larger";
	static const char on_root_bus[] = "the firmware assigned no addresses to their BARs, and "
					  "only it knows which are free on a root bus: move the "
					  "device behind a root port";
	struct surroundings s = { .above = pci_bridge_above(pf) };

	memset(bar, 0, PCI_BARS * sizeof(*bar));
	for (u32 i = 0; i < PCI_BARS; i += 1 + bar[i].is64) {
		u16 reg = (u16)(pf->sriov + PCI_SRIOV_BAR0 + 4 * i);
		struct pci_bar *b = &bar[i];

		pci_size_bar(pf->id, reg, i + 1 < PCI_BARS, b);
		if (!b->size)
			continue;
		if (b->io || b->size < PAGE_SIZE || b->size > MAX_BAR_SIZE)
			return "their BARs are invalid";
		if (!b->base) {
			b->base = choose_address(&s, b, nr);
			if (!b->base)
				return s.above ? no_room : on_root_bus;
			pci_write32(pf, reg, (u32)b->base);
			if (b->is64)
				pci_write32(pf, reg + 4u, (u32)(b->base >> 32));
		}
		if (!is_free(&s, *b, nr))
			return "their BARs overlap something else";
		s.own[s.nr_own++] = (struct window){ b->base, b->base + nr * b->size - 1 };
	}
	return NULL;
}

/* --- their requester ids -------------------------------------------------- */

/* A port reaches functions above 7 only if it is told not to look at device numbers (6.13). That
 * changes the ids that the capability reports. */
static void allow_ari(const struct pci_device *pf)
{
	const struct pci_device *port = pci_bridge_above(pf);
	u32 control;

	if (!port || !port->pcie || !pf->ari ||
	    !(pci_read32(port, port->pcie + PCI_EXP_DEVCAP2) & PCI_EXP_DEVCAP2_ARI))
		return;
	control = pci_read16(port, port->pcie + PCI_EXP_DEVCTL2);
	pci_write16(port, port->pcie + PCI_EXP_DEVCTL2, (u16)(control | PCI_EXP_DEVCTL2_ARI));
	pci_write16(pf, pf->sriov + PCI_SRIOV_CTRL, (u16)PCI_SRIOV_CTRL_ARI);
}

/* Their ids must be on buses that are routed to this device, and no other function may have them.
 * NULL, or what is wrong. */
static const char *check_ids(const struct pci_device *pf, u32 first, u32 stride, u32 nr)
{
	const struct pci_device *above = pci_bridge_above(pf), *d;
	u32 last = pf->id.bdf + first + (nr - 1) * stride;
	u32 last_bus = above ? pci_read8(above, PCI_SUBORDINATE_BUS) : pf->id.bdf >> 8;

	if (!first || (nr > 1 && !stride) || last > 0xffff || last >> 8 > last_bus)
		return "the firmware reserved no bus number for them";
	for (u32 i = 0; (d = pci_device_at(i)); i++) {
		if (d->id.segment != pf->id.segment)
			continue;
		for (u32 n = 0; n < nr; n++) {
			u32 id = pf->id.bdf + first + n * stride;

			if (d->id.bdf == id ||
			    (pci_is_bridge(d) && d != above && pci_secondary_bus(d) == id >> 8))
				return "other functions have their ids already";
		}
	}
	return NULL;
}

/* NULL, or why not. */
static const char *enable_virtual(struct pci_device *pf, u32 nr)
{
	u32 cap = pf->sriov, first, stride, control;
	struct pci_bar bar[PCI_BARS];
	const char *why;
	u64 until;

	if (!cap)
		return "it has no SR-IOV capability, or there is no ECAM to find it by";
	if (nr > pci_read16(pf, cap + PCI_SRIOV_TOTAL_VFS))
		return "it has fewer virtual functions";
	if (pci_read16(pf, cap + PCI_SRIOV_CTRL) & PCI_SRIOV_CTRL_VF_ENABLE)
		return "the firmware has enabled them already";
	allow_ari(pf);
	pci_write32(pf, cap + PCI_SRIOV_PAGE_SIZE, PCI_SRIOV_PAGE_SIZE_4K);
	pci_write16(pf, cap + PCI_SRIOV_NUM_VFS, (u16)nr);
	first = pci_read16(pf, cap + PCI_SRIOV_FIRST_OFFSET);
	stride = pci_read16(pf, cap + PCI_SRIOV_STRIDE);
	why = check_ids(pf, first, stride, nr);
	if (!why)
		why = set_up_bars(pf, bar, nr);
	if (why)
		return why;

	control = pci_read16(pf, cap + PCI_SRIOV_CTRL);
	pci_write16(pf, cap + PCI_SRIOV_CTRL,
		    (u16)(control | PCI_SRIOV_CTRL_VF_ENABLE | PCI_SRIOV_CTRL_VF_MEMORY));
	for (until = clock_ns() + ENABLE_NS; clock_ns() < until;)
		cpu_relax();
	for (u32 n = 0; n < nr; n++) {
		struct pci_id id = { pf->id.segment, (u16)(pf->id.bdf + first + n * stride) };

		/* Their vendor id reads as all ones even if they are there. */
		if (pci_config_read32(id.segment, id.bdf, PCI_REVISION) == ~0u)
			return "they do not answer";
		if (!pci_add_virtual(pf, id.bdf, pci_read16(pf, cap + PCI_SRIOV_DEVICE_ID), bar))
			return "the table of functions (PCI_MAX_DEVICES) is full";
		pf->nr_virtual++;
		for (u32 i = 0; i < PCI_BARS; i++)
			bar[i].base += bar[i].size;
	}
	return NULL;
}

void pci_enable_virtual(struct pci_id id, u32 nr)
{
	struct pci_device *pf = pci_find(id);
	const char *why = pf ? enable_virtual(pf, nr) : "there is no such device";
	const struct pci_device *d;
	char name[16];

	pci_name(id, name);
	if (why)
		log_err("sriov=%s,%u: %s", name, nr, why);
	if (!pf || !pf->nr_virtual)
		return;
	log_info("pci: %s has %u virtual function%s:", name, pf->nr_virtual,
		 pf->nr_virtual == 1 ? "" : "s");
	for (u32 i = 0; (d = pci_device_at(i)); i++) {
		if (d->physical != pf)
			continue;
		pci_name(d->id, name);
		log_info("pci:   %s (%04x:%04x)", name, d->vendor, d->device);
	}
}
