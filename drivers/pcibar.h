/* Base address registers, as the firmware has set them up: Weir checks them, and moves none. For
 * drivers/ only. */
#pragma once

#include <drivers/pci.h>

/* Read and size the BAR in register `reg`, whose decoding is off. It may be a 64-bit BAR only if
 * `has_next`. Boot. */
void pci_size_bar(struct pci_id id, u16 reg, bool has_next, struct pci_bar *b);
/* Switch bus mastering off, and size all BARs of a function; bars_ok says whether each makes sense
 * by itself. No domain has it. */
void pci_size_bars(struct pci_device *d);
/* The address of its last byte. */
u64 pci_bar_last(const struct pci_bar *b);
/* True if it exists and is no I/O BAR. */
bool pci_bar_is_memory(const struct pci_bar *b);
/* True if it is aligned to its size and overlaps nothing else that is known: RAM, the platform's
 * registers, ECAM. Always true for a BAR that is not a memory BAR. */
bool pci_bar_is_sane(const struct pci_bar *b);
/* Clear bars_ok of both functions if a BAR of one overlaps a BAR of the other. They may be the
 * same function. */
void pci_compare_bars(struct pci_device *d, struct pci_device *e);
