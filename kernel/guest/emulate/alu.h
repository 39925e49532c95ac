/* Results and flags of arithmetic instructions (SDM vol. 1, appendix A), for operands of `size`
 * bytes: 1, 2, 4 or 8. The upper bits of operands are ignored, those of results are 0. Only the
 * status flags in *rflags change; those that the manual leaves undefined get some value. Pure. */
#pragma once

#include <kernel/guest/emulate/decode.h>

/* ADD to DEC. CMP and TEST return the result of SUB and AND; NOT, NEG, INC and DEC ignore b. */
u64 alu(enum insn_op op, unsigned int size, u64 a, u64 b, u64 *rflags);
/* ROL to SAR, and SHLD and SHRD, which shift in bits of `from`. */
u64 alu_shift(enum insn_op op, unsigned int size, u64 a, u64 from, u8 count, u64 *rflags);
/* BT, BTS, BTR, BTC: `bit` is below 8 * size. BT returns a. */
u64 alu_bit(enum insn_op op, unsigned int size, u64 a, unsigned int bit, u64 *rflags);
/* BSF, BSR, TZCNT, LZCNT, POPCNT. BSF and BSR of 0 return `old`. */
u64 alu_count(enum insn_op op, unsigned int size, u64 a, u64 old, u64 *rflags);
/* The low half of a signed product, for IMUL with two and three operands. */
u64 alu_imul(unsigned int size, u64 a, u64 b, u64 *rflags);
/* MUL and IMUL: *low times b. DIV and IDIV: *high:*low by b; *low is the quotient, *high the
 * remainder. -ERANGE: #DE, nothing has changed. */
int __must_check alu_wide(enum insn_op op, unsigned int size, u64 *high, u64 *low, u64 b,
			  u64 *rflags);
/* Does a condition of CMOV or SETcc hold (SDM vol. 1, appendix B)? */
bool alu_condition(u8 condition, u64 rflags);
