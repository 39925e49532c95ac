/* What the arithmetic instructions do to their operands and to the flags (SDM vol. 1, appendix
 * A). */
#pragma once

#include <kernel/guest/emulate/decode.h>

/* a OP b in `size` bytes (1, 2, 4, 8); upper bits of a and b do not matter, those of the result are
 * 0. CMP and TEST return what SUB and AND do; NOT, NEG, INC and DEC take no b. Only the status
 * flags of *rflags change. Pure. */
u64 alu(enum insn_op op, unsigned int size, u64 a, u64 b, u64 *rflags);
