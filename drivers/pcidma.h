/* What a PCI function may do by itself: be a bus master (DMA and MSI), and cache translations in a
 * TLB of its own (ATS). */
#pragma once

#include <kernel/lib/pci_id.h>

struct pci_device;

/* Enable or disable DMA, and MSI with it. */
void pci_set_bus_master(const struct pci_device *d, bool on);
/* Disable DMA, MSI and the function's own TLB. An unknown function is left alone. */
void pci_stop(struct pci_id id);
/* How many invalidations its TLB can queue, 1 to 32; 0: it has no ATS capability. */
u32 pci_ats_depth(struct pci_id id);
/* Enable its TLB, which is empty then. The caller's context entry allows it already. */
void pci_ats_enable(struct pci_id id);
