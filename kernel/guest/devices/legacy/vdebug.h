/* Ports for debug output: a character written there goes to the domain's log, as if it were written
 * to COM1.
 *
 *	0xe9    Bochs (port_e9_hack)
 *	0x402   SeaBIOS and OVMF (QEMU's isa-debugcon)
 */
#pragma once

#include <kernel/lib/compiler.h>

struct legacy;

/* Take the ports. -ENOSPC, -EEXIST. Boot. */
int __must_check vdebug_add_ports(struct legacy *l);
/* Does nothing: they have no state. */
void vdebug_reset(struct legacy *l);
