/* What a PCI function may do by itself: bus mastering (PCI Express Base 5.0, 7.5.1.1.3) and address
 * translation services (10.5.1). */
#include <drivers/pcidma.h>

#include <drivers/pci.h>

#define ATS_MAX_DEPTH 32 /* encoded as 0 */

void pci_set_bus_master(const struct pci_device *d, bool on)
{
	u16 before = pci_read16(d, PCI_COMMAND), command = before & (u16)~PCI_COMMAND_BUS_MASTER;

	if (on)
		command |= PCI_COMMAND_BUS_MASTER;
	if (command != before)
		pci_write16(d, PCI_COMMAND, command);
}

u32 pci_ats_depth(struct pci_id id)
{
	const struct pci_device *d = pci_find(id);
	u32 depth;

	if (!d || !d->ats)
		return 0;
	depth = pci_read16(d, d->ats + PCI_ATS_CAP) & PCI_ATS_CAP_DEPTH;
	return depth ? depth : ATS_MAX_DEPTH;
}

static void set_ats(const struct pci_device *d, bool on)
{
	/* 16 bits only: the lower half of the register is not Weir's to write. The smallest
	 * translation unit stays 0, which is 4 KiB. */
	if (d->ats)
		pci_write16(d, d->ats + PCI_ATS_CTRL, on ? (u16)PCI_ATS_CTRL_ENABLE : 0);
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
