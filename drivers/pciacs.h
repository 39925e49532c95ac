/* Access control services: what a PCI function sends to another one passes the remapping unit. */
#pragma once

struct pci_device;

/* Have the requests and completions of d, and of all ports above it, sent upstream to the unit, as
 * far as each of them can. A reset of a function undoes it there. Any context; CPUs may do the same
 * for other functions at the same time, since all of them set the same bits of a port. */
void pci_acs_isolate(const struct pci_device *d);
