/* Executes decoded instructions, except string instructions. On the vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/guest/emulate/decode.h>
#include <kernel/guest/emulate/operand.h>

/* Which accesses the instruction makes to its memory operand. */
bool insn_writes(const struct insn *insn);

/* Execute an instruction whose memory operand is located, RIP excepted. 0: done. -EAGAIN: it must
 * be executed again; -EFAULT: it raises an exception, which has been injected. In both cases
 * registers are as before. */
int __must_check execute(struct guest_view *g, unsigned int bits, const struct insn *insn,
			 const struct operand *p);
