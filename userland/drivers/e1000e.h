/* Intel 82574L gigabit Ethernet (QEMU's e1000e). Registers and bits have the names and sections of
 * the "Intel 82574 GbE Controller Family Datasheet", revision 3.4. */
#pragma once

#include <userland/drivers/netdev.h>
#include <userland/runtime/pci.h>

#define E1000E_VENDOR 0x8086
#define E1000E_82574L 0x10d3
#define E1000E_82574LA 0x10f6

/* Reset the device and prepare its rings. NULL, with a message, if that fails. Uses MSI-X if the
 * device has it, otherwise MSI; always MSI with interrupts=msi on the command line. */
struct netdev *e1000e_probe(const struct pci_device *pci);
