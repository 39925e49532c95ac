/* Reset of a PCI function, in two or three steps with a pause between them. */
#pragma once

#include <kernel/lib/compiler.h>

struct pci_device;

/* Leave the function alone for this long after each step, in nanoseconds. */
#define PCI_RESET_NS 100000000UL

/* The method, in words; NULL: the function cannot be reset. */
const char *pci_reset_method(const struct pci_device *d);
/* Start a reset; false if there is no method. Call pci_reset_finish() after PCI_RESET_NS. */
bool pci_reset_start(struct pci_device *d);
/* Restore the BARs as the firmware had set them up; decoding and bus mastering stay off. False:
 * this was the first half of the reset; call it again after PCI_RESET_NS. */
bool __must_check pci_reset_finish(struct pci_device *d);
