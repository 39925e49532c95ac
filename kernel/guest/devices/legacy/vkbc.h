/* The keyboard controller of a PC (Intel 8042, with the commands of IBM's Personal System/2
 * Hardware Interface Technical Reference), with nothing plugged in. Kernels test it before they
 * look for a keyboard, open the gate of address line 20 with it, and pull the reset line.
 *
 *	0x60    data
 *	0x64    status, read; command, written
 *	0x92    system control port A: bit 0 resets, bit 1 is the gate of address line 20
 *
 * All addresses have their line 20, whatever the gate says. IRQ 1 is raised while there is a byte
 * to be read, if the configuration byte allows it.
 */
#pragma once

#include <kernel/lib/compiler.h>

struct legacy;

struct vkbc {
	u8 ram[32]; /* the first is the configuration byte */
	u8 output_port;
	u8 byte; /* the output buffer */
	u8 flags; /* of the status: what is in the output buffer, and where it comes from */
	bool last_was_command;
	u8 pending; /* the command whose parameter is written next; 0: none */
};

/* Take the ports. -ENOSPC, -EEXIST. Boot. */
int __must_check vkbc_add_ports(struct legacy *l);
/* Reset to the state in which a BIOS leaves it that has found no keyboard. The lock of `l` is
 * held. */
void vkbc_reset(struct legacy *l);
