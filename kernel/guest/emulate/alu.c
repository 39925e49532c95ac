/* Computes results and flags of arithmetic instructions (SDM vol. 1, appendix A). */
#include <kernel/guest/emulate/alu.h>

#include <kernel/x86/control.h>

#define STATUS_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

/* All status flags but OF. Bit n of `carries` is the carry out of bit n. */
static u64 flags_of_result(u64 r, u64 carries, u64 sign)
{
	return (carries & sign ? RFLAGS_CF : 0) | (carries & 8 ? RFLAGS_AF : 0) |
	       (r ? 0 : RFLAGS_ZF) | (r & sign ? RFLAGS_SF : 0) |
	       (__builtin_parityl(r & 0xff) ? 0 : RFLAGS_PF);
}

u64 alu(enum insn_op op, unsigned int size, u64 a, u64 b, u64 *rflags)
{
	u64 mask = ~0UL >> (64 - 8 * size), sign = 1UL << (8 * size - 1);
	u64 carry_in = 0, flags = 0, carries, r;

	if (op == INSN_ADC || op == INSN_SBB) {
		carry_in = *rflags & RFLAGS_CF;
	} else if (op == INSN_INC || op == INSN_DEC) {
		b = 1;
	} else if (op == INSN_NEG) {
		b = a;
		a = 0;
	}

	switch (op) {
	case INSN_ADD:
	case INSN_ADC:
	case INSN_INC:
		r = a + b + carry_in;
		carries = (a & b) | ((a | b) & ~r);
		flags |= (a ^ r) & (b ^ r) & sign ? RFLAGS_OF : 0;
		break;
	case INSN_SUB:
	case INSN_SBB:
	case INSN_CMP:
	case INSN_DEC:
	case INSN_NEG:
		r = a - b - carry_in;
		carries = (~a & b) | ((~a | b) & r);
		flags |= (a ^ b) & (a ^ r) & sign ? RFLAGS_OF : 0;
		break;
	case INSN_AND:
	case INSN_TEST:
		r = a & b;
		carries = 0;
		break;
	case INSN_OR:
		r = a | b;
		carries = 0;
		break;
	case INSN_XOR:
		r = a ^ b;
		carries = 0;
		break;
	default: /* NOT: no flags */
		return ~a & mask;
	}

	r &= mask;
	flags |= flags_of_result(r, carries, sign);
	if (op == INSN_INC || op == INSN_DEC)
		flags = (flags & ~RFLAGS_CF) | (*rflags & RFLAGS_CF);
	*rflags = (*rflags & ~STATUS_FLAGS) | flags;
	return r;
}
