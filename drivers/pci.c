/* Configuration space, by ECAM (PCI Express Base 5.0, 7.2.2) where the firmware's MCFG table says
 * so, else by mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2); and the list of functions. */
#include <drivers/pci.h>

#include <drivers/acpi.h>
#include <drivers/pcibar.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/lib/rangeset.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/string.h>
#include <kernel/x86/pci_ports.h>

#define MAX_ECAM 4
#define BUS_WINDOW (1UL << 20)

/* Guards PCI_CONFIG_ADDRESS with PCI_CONFIG_DATA, and the making of windows; leaf but for the mapping of
 * memory. */
static struct spinlock config_lock = SPINLOCK_INIT(LOCK_CONFIG);
static struct acpi_ecam ecam[MAX_ECAM];
static u32 nr_ecam;
static volatile void *bus_window[MAX_ECAM][256];

static struct pci_device devices[PCI_MAX_DEVICES];
static u32 nr_devices;

/* --- configuration space ------------------------------------------------------------------------------------------------- */

/* Where ECAM has the register, or NULL. */
static volatile void *ecam_register(u16 segment, u16 bdf, u16 offset)
{
	u8 bus = (u8)(bdf >> 8);

	for (u32 i = 0; i < nr_ecam; i++) {
		volatile void **w = &bus_window[i][bus];

		if (ecam[i].segment != segment || bus < ecam[i].first_bus || bus > ecam[i].last_bus)
			continue;
		if (!load_acquire(w)) {
			spin_lock(&config_lock);
			if (!*w)
				store_release(w, mmio_map(ecam[i].address + bus * BUS_WINDOW,
							  BUS_WINDOW));
			spin_unlock(&config_lock);
		}
		return *w ? (volatile char *)*w + ((u64)(bdf & 0xff) << 12) + offset : NULL;
	}
	return NULL;
}

static bool reached_by_ports(u16 segment, u16 offset)
{
	return !segment && offset <= 255;
}

#define CONFIG_ACCESS(bits)                                                                        \
	u##bits pci_config_read##bits(u16 segment, u16 bdf, u16 offset)                            \
	{                                                                                          \
		volatile u##bits *r = ecam_register(segment, bdf, offset);                         \
		u##bits value = (u##bits) ~0u;                                                     \
                                                                                                   \
		if (r)                                                                             \
			return *r;                                                                 \
		spin_lock(&config_lock);                                                           \
		if (reached_by_ports(segment, offset))                                             \
			value = pci_ports_read##bits(bdf, (u8)offset);                             \
		spin_unlock(&config_lock);                                                         \
		return value;                                                                      \
	}                                                                                          \
                                                                                                   \
	void pci_config_write##bits(u16 segment, u16 bdf, u16 offset, u##bits value)               \
	{                                                                                          \
		volatile u##bits *r = ecam_register(segment, bdf, offset);                         \
                                                                                                   \
		if (r) {                                                                           \
			*r = value;                                                                \
			return;                                                                    \
		}                                                                                  \
		spin_lock(&config_lock);                                                           \
		if (reached_by_ports(segment, offset))                                             \
			pci_ports_write##bits(bdf, (u8)offset, value);                             \
		spin_unlock(&config_lock);                                                         \
	}

CONFIG_ACCESS(8)
CONFIG_ACCESS(16)
CONFIG_ACCESS(32)

bool pci_exists(u16 segment, u16 bdf)
{
	u16 vendor = pci_config_read16(segment, bdf, PCI_VENDOR_ID);

	return vendor != 0xffff && vendor != 0;
}

static u32 read32(const struct pci_device *d, u16 offset)
{
	return pci_config_read32(d->id.segment, d->id.bdf, offset);
}

static u16 read16(const struct pci_device *d, u16 offset)
{
	return pci_config_read16(d->id.segment, d->id.bdf, offset);
}

static void write16(const struct pci_device *d, u16 offset, u16 value)
{
	pci_config_write16(d->id.segment, d->id.bdf, offset, value);
}

void pci_set_bus_master(const struct pci_device *d, bool on)
{
	u16 command = read16(d, PCI_COMMAND);

	command = on ? command | (u16)PCI_COMMAND_BUS_MASTER : command & (u16)~PCI_COMMAND_BUS_MASTER;
	write16(d, PCI_COMMAND, command);
}

int pci_add_ecam(struct rangeset *s)
{
	int ret = 0;

	for (u32 i = 0; i < nr_ecam && !ret; i++) {
		paddr_t first = ecam[i].address + ecam[i].first_bus * BUS_WINDOW;
		paddr_t end = ecam[i].address + (ecam[i].last_bus + 1) * BUS_WINDOW;

		ret = rangeset_add(s, first >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
	}
	return ret;
}

bool pci_ecam_overlaps(paddr_t first, paddr_t last)
{
	for (u32 i = 0; i < nr_ecam; i++)
		if (first <= ecam[i].address + (ecam[i].last_bus + 1) * BUS_WINDOW - 1 &&
		    last >= ecam[i].address + ecam[i].first_bus * BUS_WINDOW)
			return true;
	return false;
}

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

/* --- address translation services, 10.5.1 --------------------------------------------------------------------------------- */

#define ATS_CAPABILITY 4
#define ATS_DEPTH MASK(4, 0)
#define ATS_CONTROL 6
#define ATS_ENABLE BIT(15)

u32 pci_ats_depth(struct pci_id id)
{
	const struct pci_device *d = pci_find(id);
	u32 depth;

	if (!d || !d->ats)
		return 0;
	depth = read16(d, d->ats + ATS_CAPABILITY) & ATS_DEPTH;
	return depth ? depth : 32;
}

static void set_ats(const struct pci_device *d, bool on)
{
	/* 16 bits wide: the lower half of the register is not ours to write. The smallest translation unit stays
	 * 0: 4 KiB. */
	if (d->ats)
		write16(d, d->ats + ATS_CONTROL, on ? (u16)ATS_ENABLE : 0);
}

void pci_ats_enable(struct pci_id id)
{
	const struct pci_device *d = pci_find(id);

	if (d)
		set_ats(d, true);
}

void pci_stop(struct pci_id id)
{
	const struct pci_device *d = pci_find(id);

	if (!d)
		return;
	pci_set_bus_master(d, false);
	set_ats(d, false);
}

/* --- functions ------------------------------------------------------------------------------------------------------------- */

/* A broken list may be a loop: it has at most 48 entries. */
static void find_capabilities(struct pci_device *d)
{
	u8 at;

	if (!(read16(d, PCI_STATUS) & PCI_STATUS_CAPABILITIES))
		return;
	at = (u8)read16(d, PCI_CAPABILITIES) & 0xfc;
	for (int n = 0; at >= 0x40 && n < 48; n++) {
		u16 header = read16(d, at);
		u8 *known = (u8)header == PCI_CAP_PM   ? &d->pm :
			    (u8)header == PCI_CAP_MSI  ? &d->msi :
			    (u8)header == PCI_CAP_PCIE ? &d->pcie :
			    (u8)header == PCI_CAP_MSIX ? &d->msix :
			    (u8)header == PCI_CAP_AF   ? &d->af :
							 NULL;

		for (u32 i = 0; (u8)header == PCI_CAP_VENDOR && !known && i < PCI_VENDOR_CAPS; i++)
			if (!d->vendor_cap[i])
				known = &d->vendor_cap[i];
		if (known && !*known)
			*known = at;
		at = (header >> 8) & 0xfc;
	}
}

/* Beyond the first 256 bytes, so by ECAM only (7.6). Such a list may be a loop as well. */
static void find_extended_capabilities(struct pci_device *d)
{
	u16 at = 0x100;

	for (int n = 0; at >= 0x100 && n < 960; n++) {
		u32 header = read32(d, at);
		u16 *known;

		if (!header || header == ~0u)
			return;
		known = (u16)header == PCI_EXT_CAP_ATS	 ? &d->ats :
			(u16)header == PCI_EXT_CAP_ARI	 ? &d->ari :
			(u16)header == PCI_EXT_CAP_SRIOV ? &d->sriov :
							   NULL;
		if (known && !*known)
			*known = at;
		at = (u16)(header >> 20) & 0xffc;
	}
}

/* --- bridges --------------------------------------------------------------------------------------------------------------- */

#define PCIE_FLAGS 2
#define PCIE_FLAGS_TYPE MASK(7, 4)

enum pci_express_type pci_express_type(const struct pci_device *d)
{
	u64 flags = read16(d, d->pcie + PCIE_FLAGS);

	return (enum pci_express_type)FIELD_GET(PCIE_FLAGS_TYPE, flags);
}

/* True if requests from behind the bridge arrive with the id of the function that made them (PCI Express to PCI Bridge 1.0, 2.3). */
static bool passes_ids(const struct pci_device *bridge)
{
	enum pci_express_type type;

	if (!bridge->pcie)
		return false;
	type = pci_express_type(bridge);
	return type != PCI_EXPRESS_TO_PCI && type != PCI_EXPRESS_FROM_PCI;
}

/* A record of the function, whose place in the list is the last; NULL: there is no room for it. */
static struct pci_device *new_function(struct pci_id id)
{
	char name[16];

	if (nr_devices == PCI_MAX_DEVICES) {
		log_warn("pci: more functions than PCI_MAX_DEVICES: %s cannot be given to a domain",
			 pci_name(id, name));
		return NULL;
	}
	devices[nr_devices] = (struct pci_device){ .id = id };
	return &devices[nr_devices++];
}

static void read_function(struct pci_device *d)
{
	d->class = read16(d, PCI_CLASS);
	d->header = (u8)pci_config_read8(d->id.segment, d->id.bdf, PCI_HEADER_TYPE) & 0x7f;
	find_capabilities(d);
	if (d->pcie)
		find_extended_capabilities(d);
}

static void tell(const struct pci_device *d)
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
	d->vendor = read16(d, PCI_VENDOR_ID);
	d->device = read16(d, PCI_DEVICE_ID);
	read_function(d);
	if (d->header == 0 && d->class >> 8 != PCI_CLASS_BRIDGE) {
		pci_set_bus_master(d, false);
		pci_size_bars(d);
	}
	tell(d);
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
	tell(d);
	return d;
}

const struct pci_device *pci_bridge_above(const struct pci_device *d)
{
	for (u32 i = 0; i < nr_devices; i++)
		if (devices[i].header == PCI_HEADER_BRIDGE && devices[i].id.segment == d->id.segment &&
		    pci_config_read8(d->id.segment, devices[i].id.bdf, PCI_SECONDARY_BUS) ==
			    d->id.bdf >> 8)
			return &devices[i];
	return NULL;
}

struct pci_id pci_physical(struct pci_id id)
{
	const struct pci_device *d = pci_find(id);

	return d && d->physical ? d->physical->id : id;
}

/* A bus is walked once: bridges with nonsense in their bus numbers cannot make a loop. */
static void walk_bus(u16 segment, u8 bus, bool shared_id, u64 seen[4])
{
	if (seen[bus / 64] & BIT(bus % 64))
		return;
	seen[bus / 64] |= BIT(bus % 64);

	for (u32 dev = 0; dev < 32; dev++) {
		u32 functions = 1;

		for (u32 fn = 0; fn < functions; fn++) {
			struct pci_id id = { segment, PCI_BDF(bus, dev, fn) };
			const struct pci_device *d;
			u8 header;

			if (!pci_exists(segment, id.bdf))
				continue;
			header = pci_config_read8(segment, id.bdf, PCI_HEADER_TYPE);
			if (fn == 0 && (header & PCI_HEADER_MULTI_FUNCTION))
				functions = 8;
			d = add_function(id, shared_id);
			if ((header & 0x7f) == PCI_HEADER_BRIDGE)
				walk_bus(segment, pci_config_read8(segment, id.bdf, PCI_SECONDARY_BUS),
					 shared_id || !d || !passes_ids(d), seen);
		}
	}
}

void pci_init(void)
{
	const struct acpi_header *mcfg = acpi_find("MCFG");

	if (mcfg) {
		u32 nr = acpi_parse_mcfg(mcfg, ecam, MAX_ECAM);

		nr_ecam = MIN(nr, (u32)MAX_ECAM);
		if (nr > MAX_ECAM)
			log_warn("pci: more ECAM windows than MAX_ECAM (%u): the rest is not looked at",
				 MAX_ECAM);
	}
	for (u32 i = 0; i < MAX(nr_ecam, 1u); i++) {
		u64 seen[4] = { 0 };

		walk_bus(nr_ecam ? ecam[i].segment : 0, nr_ecam ? ecam[i].first_bus : 0, false, seen);
	}
	for (u32 i = 0; i < nr_devices; i++)
		for (u32 k = i; k < nr_devices; k++)
			pci_compare_bars(&devices[i], &devices[k]);
	log_info("pci: %u functions, by %s", nr_devices, nr_ecam ? "ECAM" : "ports 0xcf8 and 0xcfc");
}
