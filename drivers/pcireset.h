/* Reset of a PCI function, in steps with pauses between them: a function may need up to a second
 * after its reset before it answers (PCI Express Base 5.0, 6.6.1), and some need far longer. */
#pragma once

#include <kernel/lib/compiler.h>

struct pci_device;

/* Leave the function alone for this long after the start. */
#define PCI_RESET_MS 100u
#define PCI_RESET_NS (PCI_RESET_MS * 1000000UL)
/* Functions are expected to answer within this time after the 100 ms ... */
#define PCI_RESET_SLOW_MS 1000u
/* ... and those that have not after this time do not come back. */
#define PCI_RESET_READY_MS 60000u

enum pci_reset_result { PCI_RESET_DONE, PCI_RESET_WAIT, PCI_RESET_LOST };

/* The method, in words; NULL: the function cannot be reset. */
const char *pci_reset_method(const struct pci_device *d);
/* Start a reset of a function whose bus mastering is off; false if there is no method. Call
 * pci_reset_step() after PCI_RESET_NS in any case. */
bool pci_reset_start(struct pci_device *d);
/* Go on with it. WAIT: call this again after *ns. DONE: the function answers, and its BARs are as
 * the firmware had set them up; decoding and bus mastering stay off; ACS is on (drivers/pciacs.h),
 * also if there is no method. LOST: it has not answered for PCI_RESET_READY_MS. */
enum pci_reset_result __must_check pci_reset_step(struct pci_device *d, u64 *ns);
/* True if the function has not answered for PCI_RESET_SLOW_MS, and is still asked. */
bool pci_reset_is_slow(const struct pci_device *d);
