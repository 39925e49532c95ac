/* Exits by IN, OUT, INS and OUTS. */
#pragma once

#include <kernel/guest/emulate/bus.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/vm.h>

/* OUT. Counts the exit and returns true if no device is near the port: kernels look for devices,
 * and wait by writes to port 80h. */
static inline bool exit_absent_output(struct vcpu *v, u32 port)
{
	if (!bus_is_absent(&v->vm->io, port))
		return false;
	v->exits[WEIR_EXIT_IO]++;
	return true;
}

/* IN or OUT of `size` bytes. True: it is done; the back end moves RIP, and looks for a breakpoint.
 * False: the vCPU executes it again, or has ended. */
bool exit_io(struct vcpu *v, u32 port, u32 size, bool in) __must_check;

struct string_io {
	u16 port;
	u8 size, address_size; /* bytes */
	bool in, rep;
	enum guest_segment segment; /* of OUTS; INS has ES */
	u64 next_rip;
};
/* INS or OUTS. Each exit transfers one element; the guest executes it again until RCX is 0. */
void exit_string_io(struct vcpu *v, const struct string_io *io);
