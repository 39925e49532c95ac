/* The list of PCI functions: the buses behind the host bridges are walked once, at boot. */
#include <drivers/pci.h>

#include <drivers/pcibar.h>
#include <drivers/pcicap.h>
#include <drivers/pcidma.h>
#include <kernel/core/log.h>
#include <kernel/lib/string.h>

#define DEVICES_PER_BUS 32
#define FUNCTIONS_PER_DEVICE 8

static struct pci_device devices[PCI_MAX_DEVICES];
static u32 nr_devices;

struct pci_device *pci_device_at(u32 index)
{
	return index < nr_devices ? &devices[index] : NULL;
}

struct pci_device *pci_find(struct pci_id id)
{
	for (u32 i = 0; i < nr_devices; i++)
		if (devices[i].id.segment == id.segment && devices[i].id.bdf == id.bdf)
			return &devices[i];
	return NULL;
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
		if (pci_is_bridge(&devices[i]) && devices[i].id.segment == d->id.segment &&
		    pci_secondary_bus(&devices[i]) == d->id.bdf >> 8)
			return &devices[i];
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

/* A new record at the end of the list; NULL: there is no room. */
static struct pci_device *new_function(struct pci_id id)
{
	char name[16];

	if (nr_devices == PCI_MAX_DEVICES) {
		log_warn("pci: more functions than PCI_MAX_DEVICES (%u): "
			 "%s cannot be assigned to a domain",
			 PCI_MAX_DEVICES, pci_name(id, name));
		return NULL;
	}
	devices[nr_devices] = (struct pci_device){ .id = id };
	return &devices[nr_devices++];
}

static void read_function(struct pci_device *d)
{
	d->class = pci_read16(d, PCI_CLASS);
	d->header = pci_read8(d, PCI_HEADER_TYPE) & PCI_HEADER_TYPE_MASK;
	pci_find_capabilities(d);
}

static void log_function(const struct pci_device *d)
{
	char name[16];

	log_debug("pci: %s %04x:%04x class %04x%s%s%s%s%s", pci_name(d->id, name), d->vendor,
		  d->device, d->class, d->msi ? ", MSI" : "", d->msix ? ", MSI-X" : "",
		  d->pcie ? ", PCIe" : "", d->ats ? ", ATS" : "", d->sriov ? ", SR-IOV" : "");
}

static struct pci_device *add_function(struct pci_id id, bool shared_id)
{
	struct pci_device *d = new_function(id);

	if (!d)
		return NULL;
	d->shared_id = shared_id;
	d->vendor = pci_read16(d, PCI_VENDOR_ID);
	d->device = pci_read16(d, PCI_DEVICE_ID);
	read_function(d);
	if (d->header == PCI_HEADER_TYPE_NORMAL && d->class >> 8 != PCI_CLASS_BRIDGE) {
		pci_set_bus_master(d, false);
		pci_size_bars(d);
	}
	log_function(d);
	return d;
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
	read_function(d);
	memcpy(d->bar, bar, sizeof(d->bar));
	d->bars_ok = true;
	for (u32 i = 0; i < PCI_BARS; i++)
		d->bars_ok = d->bars_ok && pci_bar_is_sane(&bar[i]);
	for (u32 i = 0; i < nr_devices; i++)
		pci_compare_bars(d, &devices[i]);
	log_function(d);
	return d;
}

/* --- buses ---------------------------------------------------------------- */

/* Each bus is walked once, so bridges with nonsensical bus numbers cannot make a loop. */
static void walk_bus(u16 segment, u8 bus, bool shared_id, u64 seen[4])
{
	if (seen[bus / 64] & BIT(bus % 64))
		return;
	seen[bus / 64] |= BIT(bus % 64);

	for (u32 dev = 0; dev < DEVICES_PER_BUS; dev++) {
		u32 functions = 1;

		for (u32 fn = 0; fn < functions; fn++) {
			struct pci_id id = { segment, PCI_BDF(bus, dev, fn) };
			const struct pci_device *d;
			u8 header, secondary;

			if (!pci_exists(segment, id.bdf))
				continue;
			header = pci_config_read8(segment, id.bdf, PCI_HEADER_TYPE);
			if (fn == 0 && (header & PCI_HEADER_MULTI_FUNCTION))
				functions = FUNCTIONS_PER_DEVICE;
			d = add_function(id, shared_id);
			if ((header & PCI_HEADER_TYPE_MASK) != PCI_HEADER_TYPE_BRIDGE)
				continue;
			secondary = pci_config_read8(segment, id.bdf, PCI_SECONDARY_BUS);
			walk_bus(segment, secondary, shared_id || !d || !passes_ids(d), seen);
		}
	}
}

void pci_init(void)
{
	u16 segment;
	u8 bus;

	pci_config_init();
	for (u32 i = 0; pci_config_root(i, &segment, &bus); i++) {
		u64 seen[4] = { 0 };

		walk_bus(segment, bus, false, seen);
	}
	for (u32 i = 0; i < nr_devices; i++)
		for (u32 k = i; k < nr_devices; k++)
			pci_compare_bars(&devices[i], &devices[k]);
	log_info("pci: %u functions, by %s", nr_devices,
		 pci_has_ecam() ? "ECAM" : "ports 0xcf8 and 0xcfc");
}
