/* The physical function of an Intel 82576 (QEMU's igb) as the keeper of its virtual ones: it lets
 * them send and receive, gives each its Ethernet address, and answers what their drivers ask. It
 * moves no frames of its own. */
#pragma once

#include <userland/runtime/pci.h>

#define IGB_VENDOR 0x8086
#define IGB_82576 0x10c9

/* Look for one that has virtual functions and is not at work yet, and start it. From then on it is
 * served in its interrupt. Call it again when devices have come. What is wrong is printed. */
void igb_pf_probe(void);
