/* The timer of a PC, and system control port B, through which its channel 2 is reached. */
#pragma once

#include <kernel/lib/compiler.h>

struct legacy;

struct vpit {
	u8 port_b; /* the bits that the guest has written */
};

/* Take the ports. -ENOSPC, -EEXIST. Boot. */
int __must_check vpit_add_ports(struct legacy *l);
/* Reset to the state after power-on. The lock of `l` is held. */
void vpit_reset(struct legacy *l);
