/* Base address registers, as the machine's firmware has set them up: Weir believes them or not, and moves none. For drivers/ only. */
#pragma once

#include <drivers/pci.h>

/* What the BAR in register `reg` says. Its decoding is off. With `has_next` it may be of 64 bits. Boot. */
void pci_size_bar(struct pci_id id, u16 reg, bool has_next, struct pci_bar *b);
/* Its last byte. */
u64 pci_bar_last(const struct pci_bar *b);
/* It is there, and no I/O ports. */
bool pci_bar_is_memory(const struct pci_bar *b);
/* True if nothing else is known to lie there: RAM, the platform's registers, ECAM. What is no memory BAR is fine. */
bool pci_bar_is_sane(const struct pci_bar *b);
/* Clear bars_ok of both if a BAR of the one lies over one of the other. They may be the same. */
void pci_compare_bars(struct pci_device *d, struct pci_device *e);
/* Size all BARs of a function; bars_ok says whether they make sense by themselves. */
void pci_size_bars(struct pci_device *d);
