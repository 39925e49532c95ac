/* The timer of a PC, an Intel 8254, and system control port B, by which its channel 2 is gated.
 *
 * Nothing counts: what a counter holds is computed from the time when it is looked at. */
#pragma once

#include <kernel/lib/compiler.h>

struct legacy;

#define VPIT_HZ 1193182UL
#define VPIT_CHANNELS 3

struct vpit_channel {
	u8 mode, access; /* of the control word; access is one of enum vpit_access */
	bool loaded; /* a count was written since the control word */
	bool second_write, second_read; /* the high byte comes next */
	u8 low; /* the low byte, before the high byte comes */
	u32 count; /* 1 to 65536 */
	bool gate, counting;
	u64 start_ns; /* when it held `count`, if it counts */
	u64 stopped; /* clocks since it held `count`, if it does not */
	bool has_latch, has_status; /* read these first */
	u16 latch;
	u8 status;
};

struct vpit {
	struct vpit_channel channel[VPIT_CHANNELS];
	bool speaker; /* bit 1 of port B */
};

/* Take the ports. -ENOSPC, -EEXIST. Boot. */
int __must_check vpit_add_ports(struct legacy *l);
/* Reset to the state after power-on. The lock of `l` is held. */
void vpit_reset(struct legacy *l);
