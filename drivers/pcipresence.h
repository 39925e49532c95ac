/* Whether a PCI function is still there: it may be pulled out, exchanged, or lose its settings. */
#pragma once

#include <kernel/lib/compiler.h>

struct pci_device;

enum pci_presence {
	PCI_PRESENT,
	PCI_GONE, /* it does not answer */
	PCI_EXCHANGED, /* its ids or its class are others */
	PCI_UNSET, /* its BARs are not what they were: another one like it, or it was reset */
};

/* True if the function answers configuration reads. */
bool pci_answers(const struct pci_device *d);
/* Look at the function, which is not being reset; a change is logged once. Three to ten
 * configuration reads; any context except NMI. */
enum pci_presence pci_look(struct pci_device *d);
/* What pci_look() saw last. */
enum pci_presence pci_seen(const struct pci_device *d);
/* NULL, or why no domain can have a function that was seen so. */
const char *pci_presence_why_not(enum pci_presence presence);
