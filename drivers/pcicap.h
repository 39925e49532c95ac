/* The capabilities of a PCI function. */
#pragma once

struct pci_device;

/* Walk the list of capabilities of d->id, and that of the extended ones if there is ECAM, and fill
 * in the offsets of those that Weir uses. Boot. */
void pci_find_capabilities(struct pci_device *d);
