/* The real-time clock of a PC with its CMOS memory (Motorola MC146818A), at ports 0x70 and 0x71.
 *
 * Nothing counts: the registers show the machine's date at the moment when they are read, moved by
 * what the guest has set. The clock raises no interrupts. */
#pragma once

#include <kernel/lib/compiler.h>

struct legacy;

#define VRTC_CMOS 128

struct vrtc {
	u8 index; /* the register that port 0x71 accesses */
	u8 cmos[VRTC_CMOS]; /* the date is there while the guest sets it; all else always */
	s64 offset_ns; /* of the guest's date from the machine's */
	u64 updates_seen; /* seconds, when register C was read last */
};

/* Take the ports. -ENOSPC, -EEXIST. Boot. */
int __must_check vrtc_add_ports(struct legacy *l);
/* Reset to the state after power-on: what the guest has set is forgotten. The lock of `l` is
 * held. */
void vrtc_reset(struct legacy *l);
