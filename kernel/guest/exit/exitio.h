/* Exits by IN, OUT, INS and OUTS. */
#pragma once

#include <kernel/guest/vcpu/backend.h>

/* IN or OUT of `size` bytes. next_rip is the address of the next instruction. */
void exit_io(struct vcpu *v, u32 port, u32 size, bool in, u64 next_rip);

struct string_io {
	u16 port;
	u8 size, address_size; /* bytes */
	bool in, rep;
	enum guest_segment segment; /* of OUTS; INS has ES */
	u64 next_rip;
};
/* INS or OUTS. Each exit transfers one element; the guest executes it again until RCX is 0. */
void exit_string_io(struct vcpu *v, const struct string_io *io);
