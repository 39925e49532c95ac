/* Access control services (PCI Express Base 5.0, 6.12 and 7.7.11). Without them a switch, or a
 * device with several functions, may deliver a request to a peer directly: the remapping unit sees
 * nothing of it. With them it goes upstream, and the unit decides. */
#include <drivers/pciacs.h>

#include <drivers/pci.h>

/* A port that has something below it (7.7.11.2: the other bits are for all functions). */
static bool is_downstream_port(const struct pci_device *d)
{
	enum pci_express_type type = pci_express_type(d);

	return type == PCI_EXPRESS_ROOT_PORT || type == PCI_EXPRESS_DOWNSTREAM;
}

static void send_upstream(const struct pci_device *d)
{
	u64 enable = PCI_ACS_REQUEST_REDIRECT | PCI_ACS_COMPLETION_REDIRECT, offered, before, after;

	if (!d->acs)
		return;
	/* What comes from below has the id of a bus below, and what is meant for there too goes up
	 * first. */
	if (is_downstream_port(d))
		enable |= PCI_ACS_SOURCE_VALIDATION | PCI_ACS_UPSTREAM_FORWARDING;
	offered = pci_read16(d, d->acs + PCI_ACS_CAP);
	before = pci_read16(d, d->acs + PCI_ACS_CTRL);
	/* The one exception from redirection: requests that a device has translated itself (ATS),
	 * or says so. */
	after = (before & ~(offered & PCI_ACS_DIRECT_TRANSLATED)) | (offered & enable);
	if (after != before)
		pci_write16(d, d->acs + PCI_ACS_CTRL, (u16)after);
}

void pci_acs_isolate(const struct pci_device *d)
{
	const struct pci_device *port;

	send_upstream(d);
	/* Virtual functions may be on a bus that no bridge names. */
	if (d->physical)
		d = d->physical;
	/* Bus numbers grow on the way down. Those that do not would make a loop. */
	while ((port = pci_bridge_above(d)) && port->id.bdf >> 8 < d->id.bdf >> 8) {
		send_upstream(port);
		d = port;
	}
}
