/* The capabilities of a PCI function: which it has, and where (PCI Express Base 5.0, 7.5.1.1.11 and
 * 7.6). A device may report anything, even a list without an end: the walk ends after as many
 * entries as fit. */
#include <drivers/pcicap.h>

#include <drivers/pci.h>
#include <kernel/core/log.h>

#define MAX_CAPABILITIES 48
#define MAX_EXT_CAPABILITIES 960

/* False if there is no room for it. */
static bool record_vendor_capability(struct pci_device *d, u8 at)
{
	for (u32 i = 0; i < PCI_VENDOR_CAPS; i++)
		if (!d->vendor_cap[i] || d->vendor_cap[i] == at) {
			d->vendor_cap[i] = at;
			return true;
		}
	return false;
}

/* Where the offset of a capability with this id is kept; NULL: Weir has no use for it. */
static u8 *capability_field(struct pci_device *d, u8 id)
{
	switch (id) {
	case PCI_CAP_PM:
		return &d->pm;
	case PCI_CAP_MSI:
		return &d->msi;
	case PCI_CAP_PCIE:
		return &d->pcie;
	case PCI_CAP_MSIX:
		return &d->msix;
	case PCI_CAP_AF:
		return &d->af;
	default:
		return NULL;
	}
}

static void find_in_header_space(struct pci_device *d)
{
	bool all_vendor = true;
	char name[16];
	u8 at;

	if (!(pci_read16(d, PCI_STATUS) & PCI_STATUS_CAPABILITIES))
		return;
	at = (u8)pci_read16(d, PCI_CAPABILITIES) & PCI_CAP_POINTER;
	for (int n = 0; at >= PCI_HEADER_END && n < MAX_CAPABILITIES; n++) {
		u16 header = pci_read16(d, at);
		u8 id = (u8)FIELD_GET(PCI_CAP_ID, header);
		u8 *field = capability_field(d, id);

		if (id == PCI_CAP_VENDOR)
			all_vendor = record_vendor_capability(d, at) && all_vendor;
		else if (field && !*field)
			*field = at;
		at = (u8)FIELD_GET(PCI_CAP_NEXT, header) & PCI_CAP_POINTER;
	}
	if (!all_vendor)
		log_warn("pci: %s has more vendor-specific capabilities than PCI_VENDOR_CAPS (%u); "
			 "a guest does not see the others",
			 pci_name(d->id, name), PCI_VENDOR_CAPS);
}

static u16 *extended_field(struct pci_device *d, u16 id)
{
	switch (id) {
	case PCI_EXT_CAP_ACS:
		return &d->acs;
	case PCI_EXT_CAP_ATS:
		return &d->ats;
	case PCI_EXT_CAP_ARI:
		return &d->ari;
	case PCI_EXT_CAP_SRIOV:
		return &d->sriov;
	default:
		return NULL;
	}
}

static void find_in_extended_space(struct pci_device *d)
{
	u16 at = PCI_EXT_CAP_START;

	for (int n = 0; at >= PCI_EXT_CAP_START && n < MAX_EXT_CAPABILITIES; n++) {
		u32 header = pci_read32(d, at);
		u16 *field;

		/* All ones: without ECAM these registers cannot be reached. */
		if (!header || header == ~0u)
			return;
		field = extended_field(d, (u16)FIELD_GET(PCI_EXT_CAP_ID, header));
		if (field && !*field)
			*field = at;
		at = (u16)FIELD_GET(PCI_EXT_CAP_NEXT, header) & PCI_EXT_CAP_POINTER;
	}
}

void pci_find_capabilities(struct pci_device *d)
{
	find_in_header_space(d);
	if (d->pcie)
		find_in_extended_space(d);
}
