/* PCI addresses, as numbers (requester ids) and as text. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

/* A function on the bus: PCI segment, and bus/device/function as in a requester id. */
struct pci_id {
	u16 segment;
	u16 bdf;
};
#define PCI_BDF(bus, dev, fn) ((u16)((bus) << 8 | (dev) << 3 | (fn)))

/* "00:03.0" for messages, with the segment if it is not 0. Returns buf. */
const char *pci_name(struct pci_id id, char buf[16]);
/* Parse bb:dd.f or ssss:bb:dd.f, which must be all of the `length` characters. False if it is not
 * an address; *id is unchanged then. */
bool __must_check pci_parse_address(const char *text, size_t length, struct pci_id *id);
