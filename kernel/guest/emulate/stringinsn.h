/* Executes MOVS, STOS, LODS, CMPS and SCAS. On the vCPU's own CPU, in an exit. */
#pragma once

#include <kernel/guest/emulate/decode.h>
#include <kernel/guest/emulate/guestwalk.h>

/* Execute a string instruction, or some repetitions of one; RIP advances when none is left. 0: done
 * so far; -EAGAIN, -EFAULT: as execute() returns them, with the elements before kept. */
int __must_check string_instruction(struct guest_view *g, unsigned int bits,
				    const struct insn *insn);
