/* Whether a PCI function is still there. See pcipresence.h. */
#include <drivers/pcipresence.h>

#include <drivers/pci.h>
#include <kernel/core/log.h>
#include <kernel/lib/atomic.h>

bool pci_answers(const struct pci_device *d)
{
	u32 id = pci_read32(d, PCI_VENDOR_ID);

	if ((id & 0xffff) == PCI_VENDOR_NOT_READY)
		return false;
	/* A virtual function has no id of its own: it reads as all ones. */
	if (d->physical)
		id = pci_read32(d, PCI_COMMAND);
	return id != ~0u;
}

static bool is_same_kind(const struct pci_device *d)
{
	return (d->physical || (pci_read16(d, PCI_VENDOR_ID) == d->vendor &&
				pci_read16(d, PCI_DEVICE_ID) == d->device)) &&
	       pci_read16(d, PCI_CLASS) == d->class;
}

/* A virtual function's BARs are in its physical function's capability. */
static bool has_its_bars(const struct pci_device *d)
{
	for (u32 i = 0; i < PCI_BARS && !d->physical; i++) {
		const struct pci_bar *b = &d->bar[i];

		if (!b->size || b->io)
			continue;
		if ((pci_read32(d, PCI_BAR(i)) & ~PCI_BAR_MEMORY_FLAGS) != (u32)b->base ||
		    (b->is64 && pci_read32(d, PCI_BAR(i + 1)) != b->base >> 32))
			return false;
	}
	return true;
}

static void say(const struct pci_device *d, enum pci_presence presence)
{
	char name[16];

	pci_name(d->id, name);
	switch (presence) {
	case PCI_PRESENT:
		log_info("pci: %s (%04x:%04x) is there again", name, d->vendor, d->device);
		break;
	case PCI_GONE:
		log_warn("pci: %s (%04x:%04x) is gone: it does not answer", name, d->vendor,
			 d->device);
		break;
	case PCI_EXCHANGED:
		log_warn(
			"pci: %s was %04x:%04x, class %04x, and is %04x:%04x, class %04x: `rescan` "
			"in the shell reads it again, once no domain has it",
			name, d->vendor, d->device, d->class, pci_read16(d, PCI_VENDOR_ID),
			pci_read16(d, PCI_DEVICE_ID), pci_read16(d, PCI_CLASS));
		break;
	case PCI_UNSET:
		log_warn("pci: %s (%04x:%04x) has lost its BARs: it was exchanged, or has reset "
			 "itself",
			 name, d->vendor, d->device);
		break;
	}
}

enum pci_presence pci_look(struct pci_device *d)
{
	enum pci_presence presence = PCI_PRESENT;

	if (!pci_answers(d))
		presence = PCI_GONE;
	else if (!is_same_kind(d))
		presence = PCI_EXCHANGED;
	else if (!has_its_bars(d))
		presence = PCI_UNSET;
	if (atomic_xchg(&d->presence, (u8)presence) != presence)
		say(d, presence);
	return presence;
}

enum pci_presence pci_seen(const struct pci_device *d)
{
	return (enum pci_presence)read_once(&d->presence);
}

const char *pci_presence_why_not(enum pci_presence presence)
{
	switch (presence) {
	case PCI_GONE:
		return "it is gone, or has not come back from its last reset: it does not answer";
	case PCI_EXCHANGED:
		return "another device is in its place: rescan reads that one";
	default: /* its BARs are set again by the reset before it is attached */
		return NULL;
	}
}
