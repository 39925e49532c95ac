/* Configuration mechanism 1 of a guest (PCI Local Bus 3.0, 3.2.2.3.2): ports 0xCF8 and 0xCFC, which
 * give access to a host bridge at 00:00.0, the functions of its bus, and its balloon. Among them is
 * the reset control register, 0xCF9. */
#pragma once

#include <kernel/lib/compiler.h>

struct vpci;

/* Register the ports of a new bus. -ENOSPC, -EEXIST. Boot. */
int __must_check vpciports_add(struct vpci *p);
