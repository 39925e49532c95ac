/* What a channel of the timer holds and puts out at a given time (8254 data sheet, "mode
 * definitions"). Times are those of clock_ns(). The caller's lock guards the channel. */
#pragma once

#include <kernel/guest/devices/legacy/vpit.h>

/* Which bytes of a count are read and written. */
enum vpit_access { VPIT_LATCH, VPIT_LOW, VPIT_HIGH, VPIT_BOTH };

/* A control word: the channel waits for a count. Modes 6 and 7 are 2 and 3. */
void vpit_set_mode(struct vpit_channel *c, u8 mode, u8 access);
/* Write one byte of the count. True: the count is complete and begins anew. */
bool vpit_write_count(struct vpit_channel *c, u8 value, u64 now_ns);
/* Raise or lower the gate. */
void vpit_set_gate(struct vpit_channel *c, bool gate, u64 now_ns);
/* What the counter holds. */
u16 vpit_value(const struct vpit_channel *c, u64 now_ns);
/* The output. */
bool vpit_output(const struct vpit_channel *c, u64 now_ns);
