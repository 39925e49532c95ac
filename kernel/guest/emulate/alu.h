/* Results and flags of arithmetic instructions (SDM vol. 1, appendix A). */
#pragma once

#include <kernel/guest/emulate/decode.h>

/* Compute a OP b for operands of `size` bytes (1, 2, 4 or 8). The upper bits of a and b are
 * ignored, those of the result are 0. CMP and TEST return the result of SUB and AND; NOT, NEG, INC
 * and DEC ignore b. Only the status flags in *rflags change. Pure. */
u64 alu(enum insn_op op, unsigned int size, u64 a, u64 b, u64 *rflags);
