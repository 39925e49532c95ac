/* Emulates instructions that access guest-physical memory where there is no RAM, on the domain's
 * memory bus. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;

/* Emulate the instruction at RIP, which accessed gpa; table_walk: as an entry of a page table.
 * 0: it was executed, at least in part, or an exception was injected, or it does not access gpa any
 * more; the guest continues at RIP. -EAGAIN: it must be executed again, and the vCPU may have been
 * parked; -EINVAL: Weir does not know the instruction, and `why` is one line that shows its bytes.
 * On the vCPU's own CPU, in an exit. */
int __must_check mmio_emulate(struct vcpu *v, gpaddr_t gpa, bool table_walk, char *why,
			      size_t why_size);
