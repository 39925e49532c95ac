/* Virtual functions (SR-IOV). */
#pragma once

#include <kernel/lib/pci_id.h>

/* Enable the first `nr` virtual functions of `pf`, and add them to the list of functions. A failure
 * is logged; functions that were enabled before it remain. Boot. */
void pci_enable_virtual(struct pci_id pf, u32 nr);
