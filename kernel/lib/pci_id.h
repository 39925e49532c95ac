/* PCI addresses: how a function is named in requester ids, in messages and by the administrator. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

/* A function on the bus: PCI segment, and bus/device/function as in a requester id. */
struct pci_id {
	u16 segment;
	u16 bdf;
};
#define PCI_BDF(bus, dev, fn) ((u16)((bus) << 8 | (dev) << 3 | (fn)))

/* "00:03.0" for messages, with the segment where that is not 0; the buffer is the caller's. */
const char *pci_name(struct pci_id id, char buf[16]);
/* The other way: bb:dd.f or ssss:bb:dd.f, all of `length` characters. Returns false, with *id as it
 * was, if the text is not an address. */
bool __must_check pci_parse_address(const char *text, size_t length, struct pci_id *id);
