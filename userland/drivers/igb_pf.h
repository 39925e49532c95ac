/* Driver for the physical function of an Intel 82576 (QEMU's igb). It serves the virtual functions:
 * lets them send and receive, gives each an Ethernet address, and answers their drivers' requests.
 * It sends and receives no frames itself. */
#pragma once

#include <userland/runtime/pci.h>

#define IGB_VENDOR 0x8086
#define IGB_82576 0x10c9

/* Find one that is not running yet, and start it; from then on its interrupt handler does the work.
 * Call this again when devices were added. Errors are printed. */
void igb_pf_probe(void);
