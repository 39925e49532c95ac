/* The list of PCI functions: all buses are walked once, at boot. */
#include <drivers/pci.h>

#include <drivers/pcibar.h>
#include <drivers/pcicap.h>
#include <drivers/pcidma.h>
#include <kernel/core/log.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>

#define DEVICES_PER_BUS 32
#define FUNCTIONS_PER_DEVICE 8

static struct pci_device *devices[PCI_MAX_DEVICES];
static u32 nr_devices;
static u32 nr_lost; /* functions without a record */

struct pci_device *pci_device_at(u32 index)
{
	return index < load_acquire(&nr_devices) ? devices[index] : NULL;
}

struct pci_device *pci_find(struct pci_id id)
{
	u32 nr = load_acquire(&nr_devices);

	for (u32 i = 0; i < nr; i++)
		if (devices[i]->id.segment == id.segment && devices[i]->id.bdf == id.bdf)
			return devices[i];
	return NULL;
}

bool pci_list_is_whole(void)
{
	return !nr_lost;
}

struct pci_id pci_physical(struct pci_id id)
{
	const struct pci_device *d = pci_find(id);

	return d && d->physical ? d->physical->id : id;
}

/* --- bridges -------------------------------------------------------------- */

enum pci_express_type pci_express_type(const struct pci_device *d)
{
	u64 flags = pci_read16(d, d->pcie + PCI_EXP_FLAGS);

	return (enum pci_express_type)FIELD_GET(PCI_EXP_FLAGS_TYPE, flags);
}

bool pci_is_bridge(const struct pci_device *d)
{
	return d->header == PCI_HEADER_TYPE_BRIDGE;
}

u8 pci_secondary_bus(const struct pci_device *bridge)
{
	return pci_read8(bridge, PCI_SECONDARY_BUS);
}

const struct pci_device *pci_bridge_above(const struct pci_device *d)
{
	for (u32 i = 0; i < nr_devices; i++)
		if (pci_is_bridge(devices[i]) && devices[i]->id.segment == d->id.segment &&
		    pci_secondary_bus(devices[i]) == d->id.bdf >> 8)
			return devices[i];
	return NULL;
}

/* True if requests from behind the bridge arrive with the id of the function that made them (PCI
 * Express to PCI Bridge 1.0, 2.3). */
static bool passes_ids(const struct pci_device *bridge)
{
	enum pci_express_type type;

	if (!bridge->pcie)
		return false;
	type = pci_express_type(bridge);
	return type != PCI_EXPRESS_TO_PCI && type != PCI_EXPRESS_FROM_PCI;
}

/* --- functions ------------------------------------------------------------ */

/* A new record, which is not in the list yet; NULL: there is no room. */
static struct pci_device *new_function(struct pci_id id)
{
	struct pci_device *d = NULL;

	if (nr_devices < PCI_MAX_DEVICES)
		d = kzalloc(sizeof(*d));
	if (!d) {
		nr_lost++;
		return NULL;
	}
	d->id = id;
	return d;
}

/* Other CPUs may be reading the list. */
static void publish(struct pci_device *d)
{
	devices[nr_devices] = d;
	store_release(&nr_devices, nr_devices + 1);
}

static void read_registers(struct pci_device *d)
{
	d->class = pci_read16(d, PCI_CLASS);
	d->header = pci_read8(d, PCI_HEADER_TYPE) & PCI_HEADER_TYPE_MASK;
	pci_find_capabilities(d);
}

static void log_function(const struct pci_device *d)
{
	char name[16];

	log_debug("pci: %s %04x:%04x class %04x%s%s%s%s%s%s%s", pci_name(d->id, name), d->vendor,
		  d->device, d->class,
		  d->header && d->class != PCI_CLASS_PCI_BRIDGE ? " (a bridge by its header)" : "",
		  d->msi ? ", MSI" : "", d->msix ? ", MSI-X" : "", d->pcie ? ", PCIe" : "",
		  d->acs ? ", ACS" : "", d->ats ? ", ATS" : "", d->sriov ? ", SR-IOV" : "");
}

/* The uncore functions of Intel's servers have other registers where BARs should be (Haswell-EP and
 * Broadwell-EP, erratum BDF2). The DMA engines of the same class, which are real, have MSI-X. */
static bool has_no_bars(const struct pci_device *d)
{
	return d->vendor == PCI_VENDOR_INTEL && !d->msi && !d->msix &&
	       (d->class == PCI_CLASS_OTHER_SYSTEM || d->class == PCI_CLASS_PERFORMANCE);
}

static void read_function(struct pci_device *d)
{
	d->vendor = pci_read16(d, PCI_VENDOR_ID);
	d->device = pci_read16(d, PCI_DEVICE_ID);
	read_registers(d);
	if (pci_is_endpoint(d) && has_no_bars(d)) {
		pci_set_bus_master(d, false);
		d->bars_ok = true;
	} else if (pci_is_endpoint(d)) {
		pci_size_bars(d);
	}
	log_function(d);
}

static struct pci_device *add_function(struct pci_id id, bool shared_id)
{
	struct pci_device *d = new_function(id), lost = { .id = id };

	if (!d) {
		read_registers(&lost);
		if (pci_is_endpoint(&lost))
			pci_set_bus_master(&lost, false);
		return NULL;
	}
	d->shared_id = shared_id;
	read_function(d);
	publish(d);
	return d;
}

static void compare_with_all(struct pci_device *d)
{
	for (u32 i = 0; i < nr_devices; i++)
		pci_compare_bars(d, devices[i]);
}

struct pci_device *pci_add_virtual(const struct pci_device *pf, u16 bdf, u16 device,
				   const struct pci_bar bar[PCI_BARS])
{
	struct pci_device *d = new_function((struct pci_id){ pf->id.segment, bdf });

	if (!d)
		return NULL;
	d->physical = pf;
	d->shared_id = pf->shared_id;
	d->vendor = pf->vendor;
	d->device = device;
	read_registers(d);
	memcpy(d->bar, bar, sizeof(d->bar));
	d->bars_ok = true;
	for (u32 i = 0; i < PCI_BARS; i++)
		d->bars_ok = d->bars_ok && pci_bar_is_sane(&bar[i]);
	publish(d);
	compare_with_all(d);
	log_function(d);
	return d;
}

struct pci_device *pci_add_late(struct pci_id id)
{
	const struct pci_device *bridge = pci_bridge_above(&(struct pci_device){ .id = id });
	struct pci_device *d;

	if (!pci_exists(id.segment, id.bdf))
		return NULL;
	d = add_function(id, bridge && (bridge->shared_id || !passes_ids(bridge)));
	if (d)
		compare_with_all(d);
	return d;
}

void pci_read_again(struct pci_device *d)
{
	*d = (struct pci_device){
		.id = d->id,
		.shared_id = d->shared_id,
		.state = d->state,
		.owner = d->owner,
		.function = d->function,
	};
	read_function(d);
	compare_with_all(d);
}

/* --- buses ---------------------------------------------------------------- */

/* The buses of a segment, as bits. */
struct bus_set {
	u64 bit[4];
};

static bool has_bus(const struct bus_set *s, u8 bus)
{
	return s->bit[bus / 64] & BIT(bus % 64);
}

static void add_bus(struct bus_set *s, u8 bus)
{
	s->bit[bus / 64] |= BIT(bus % 64);
}

struct walk {
	u16 segment;
	struct bus_set used; /* something is there */
	struct bus_set below; /* a bridge on another bus leads there */
	struct bus_set seen; /* walked */
};

/* The next function of a bus, from *at on, which goes on behind it. False: no more. */
static bool next_function(u16 segment, u8 bus, u32 *at, u16 *bdf, u8 *header)
{
	for (u32 n = *at; n < DEVICES_PER_BUS * FUNCTIONS_PER_DEVICE; n++) {
		bool multi;

		*bdf = (u16)(bus << 8 | n);
		if (!pci_exists(segment, *bdf)) {
			if (n % FUNCTIONS_PER_DEVICE == 0)
				n += FUNCTIONS_PER_DEVICE - 1;
			continue;
		}
		*header = pci_config_read8(segment, *bdf, PCI_HEADER_TYPE);
		multi = n % FUNCTIONS_PER_DEVICE || *header & PCI_HEADER_MULTI_FUNCTION;
		*at = multi ? n + 1 : n + FUNCTIONS_PER_DEVICE;
		*header &= PCI_HEADER_TYPE_MASK;
		return true;
	}
	return false;
}

/* Bus numbers at the same place (PCI Local Bus to CardBus: PC Card Standard 8.0, 4.5.2). */
static bool leads_to_bus(u8 header)
{
	return header == PCI_HEADER_TYPE_BRIDGE || header == PCI_HEADER_TYPE_CARDBUS;
}

static void look_at_bus(struct walk *w, u8 bus)
{
	u32 at = 0;
	u8 header;
	u16 bdf;

	while (next_function(w->segment, bus, &at, &bdf, &header)) {
		u8 secondary;

		add_bus(&w->used, bus);
		if (!leads_to_bus(header))
			continue;
		secondary = pci_config_read8(w->segment, bdf, PCI_SECONDARY_BUS);
		if (secondary != bus)
			add_bus(&w->below, secondary);
	}
}

/* Each bus is walked once, so bridges with nonsensical bus numbers cannot make a loop. */
static void walk_bus(struct walk *w, u8 bus, bool shared_id)
{
	u32 at = 0;
	u8 header;
	u16 bdf;

	if (has_bus(&w->seen, bus) || !has_bus(&w->used, bus))
		return;
	add_bus(&w->seen, bus);
	while (next_function(w->segment, bus, &at, &bdf, &header)) {
		const struct pci_device *d;
		u8 secondary;

		d = add_function((struct pci_id){ w->segment, bdf }, shared_id);
		if (!leads_to_bus(header))
			continue;
		secondary = pci_config_read8(w->segment, bdf, PCI_SECONDARY_BUS);
		walk_bus(w, secondary, shared_id || !d || !passes_ids(d));
	}
}

/* A machine may have several host bridges, and only ACPI's AML lists them: a root bus is one that
 * no bridge leads to. The lowest one is a root bus in any case. Where other bridges lead to each
 * other in a circle, nobody knows whose id a request carries. */
static void walk_segment(u16 segment)
{
	struct walk w = { .segment = segment };
	u32 lowest = 0;

	for (u32 bus = 0; bus < 256; bus++)
		look_at_bus(&w, (u8)bus);
	while (lowest < 255 && !has_bus(&w.used, (u8)lowest))
		lowest++;
	walk_bus(&w, (u8)lowest, false);
	for (u32 bus = 0; bus < 256; bus++)
		if (!has_bus(&w.below, (u8)bus))
			walk_bus(&w, (u8)bus, false);
	for (u32 bus = 0; bus < 256; bus++)
		walk_bus(&w, (u8)bus, true);
}

/* True if a window before this one is of the same segment. */
static bool is_walked(u32 window, u16 segment)
{
	u16 other;

	for (u32 i = 0; i < window && pci_config_segment(i, &other); i++)
		if (other == segment)
			return true;
	return false;
}

void pci_init(void)
{
	u16 segment;

	pci_config_init();
	for (u32 i = 0; pci_config_segment(i, &segment); i++)
		if (!is_walked(i, segment))
			walk_segment(segment);
	for (u32 i = 0; i < nr_devices; i++)
		for (u32 k = i; k < nr_devices; k++)
			pci_compare_bars(devices[i], devices[k]);
	if (nr_lost)
		log_warn("pci: %u functions do not fit into the list (PCI_MAX_DEVICES is %u): "
			 "their bus mastering is off, and they cannot be assigned",
			 nr_lost, PCI_MAX_DEVICES);
	log_info("pci: %u functions, by %s", nr_devices,
		 pci_has_ecam() ? "ECAM" : "ports 0xcf8 and 0xcfc");
}
