/* Computes results and flags of arithmetic instructions (SDM vol. 1, appendix A). */
#include <kernel/guest/emulate/alu.h>

#include <kernel/lib/errno.h>
#include <kernel/x86/control.h>

#define STATUS_FLAGS (RFLAGS_CF | RFLAGS_PF | RFLAGS_AF | RFLAGS_ZF | RFLAGS_SF | RFLAGS_OF)

static u64 mask(unsigned int size)
{
	return ~0UL >> (64 - 8 * size);
}

static u64 sign(unsigned int size)
{
	return 1UL << (8 * size - 1);
}

static s64 sign_extend(u64 value, unsigned int size)
{
	unsigned int unused = 64 - 8 * size;

	return (s64)(value << unused) >> unused;
}

static void set_flags(u64 *rflags, u64 which, u64 flags)
{
	*rflags = (*rflags & ~which) | (flags & which);
}

/* All status flags but OF. Bit n of `carries` is the carry out of bit n. */
static u64 flags_of_result(u64 r, u64 carries, unsigned int size)
{
	return (carries & sign(size) ? RFLAGS_CF : 0) | (carries & 8 ? RFLAGS_AF : 0) |
	       (r ? 0 : RFLAGS_ZF) | (r & sign(size) ? RFLAGS_SF : 0) |
	       (__builtin_parityl(r & 0xff) ? 0 : RFLAGS_PF);
}

u64 alu(enum insn_op op, unsigned int size, u64 a, u64 b, u64 *rflags)
{
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
		flags |= (a ^ r) & (b ^ r) & sign(size) ? RFLAGS_OF : 0;
		break;
	case INSN_SUB:
	case INSN_SBB:
	case INSN_CMP:
	case INSN_DEC:
	case INSN_NEG:
		r = a - b - carry_in;
		carries = (~a & b) | ((~a | b) & r);
		flags |= (a ^ b) & (a ^ r) & sign(size) ? RFLAGS_OF : 0;
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
		return ~a & mask(size);
	}

	r &= mask(size);
	flags |= flags_of_result(r, carries, size);
	if (op == INSN_INC || op == INSN_DEC)
		flags = (flags & ~RFLAGS_CF) | (*rflags & RFLAGS_CF);
	set_flags(rflags, STATUS_FLAGS, flags);
	return r;
}

/* --- shifts --------------------------------------------------------------- */

/* One bit further. `carry` is CF before and after; *from loses the bit that is shifted in. */
static u64 shift_once(enum insn_op op, unsigned int size, u64 a, u64 *from, bool *carry)
{
	bool top = a & sign(size), bottom = a & 1, before = *carry;
	bool left = op == INSN_ROL || op == INSN_RCL || op == INSN_SHL || op == INSN_SHLD;
	bool in = false;

	*carry = left ? top : bottom;
	switch (op) {
	case INSN_ROL:
	case INSN_ROR:
		in = *carry;
		break;
	case INSN_RCL:
	case INSN_RCR:
		in = before;
		break;
	case INSN_SAR:
		in = top;
		break;
	case INSN_SHLD:
		in = *from & sign(size);
		*from <<= 1;
		break;
	case INSN_SHRD:
		in = *from & 1;
		*from >>= 1;
		break;
	default:
		break;
	}
	return left ? (a << 1 & mask(size)) | in : a >> 1 | (in ? sign(size) : 0);
}

u64 alu_shift(enum insn_op op, unsigned int size, u64 a, u64 from, u8 count, u64 *rflags)
{
	bool rotates = op == INSN_ROL || op == INSN_ROR || op == INSN_RCL || op == INSN_RCR;
	bool carry = *rflags & RFLAGS_CF;
	u64 before = a;

	count &= size == 8 ? 63 : 31;
	if (!count)
		return a & mask(size);
	a &= mask(size);
	for (; count; count--) {
		before = a;
		a = shift_once(op, size, a, &from, &carry);
	}
	if (!rotates)
		set_flags(rflags, STATUS_FLAGS, flags_of_result(a, 0, size));
	/* OF: the last step has changed the sign. With ROL and others to the left that is the
	 * carry, since it was the sign before. */
	set_flags(rflags, RFLAGS_CF | RFLAGS_OF,
		  (carry ? RFLAGS_CF : 0) | ((a ^ before) & sign(size) ? RFLAGS_OF : 0));
	return a;
}

/* --- bits ----------------------------------------------------------------- */

u64 alu_bit(enum insn_op op, unsigned int size, u64 a, unsigned int bit, u64 *rflags)
{
	u64 at = 1UL << bit;

	set_flags(rflags, RFLAGS_CF, a & at ? RFLAGS_CF : 0);
	a &= mask(size);
	switch (op) {
	case INSN_BTS:
		return a | at;
	case INSN_BTR:
		return a & ~at;
	case INSN_BTC:
		return a ^ at;
	default:
		return a;
	}
}

u64 alu_count(enum insn_op op, unsigned int size, u64 a, u64 old, u64 *rflags)
{
	unsigned int bits = 8 * size;
	u64 n = 0;

	a &= mask(size);
	if (op == INSN_BSF || op == INSN_BSR) {
		set_flags(rflags, RFLAGS_ZF, a ? 0 : RFLAGS_ZF);
		if (!a)
			return old;
		return op == INSN_BSF ? (u64)__builtin_ctzl(a) : 63 - (u64)__builtin_clzl(a);
	}
	if (op == INSN_POPCNT) {
		for (u64 rest = a; rest; rest &= rest - 1)
			n++;
		set_flags(rflags, STATUS_FLAGS, a ? 0 : RFLAGS_ZF);
		return n;
	}
	n = !a		     ? bits :
	    op == INSN_TZCNT ? (u64)__builtin_ctzl(a) :
			       (u64)__builtin_clzl(a) - (64 - bits);
	set_flags(rflags, RFLAGS_CF | RFLAGS_ZF, (a ? 0 : RFLAGS_CF) | (n ? 0 : RFLAGS_ZF));
	return n;
}

/* --- products and quotients ----------------------------------------------- */

static void set_overflow(u64 *rflags, bool overflow)
{
	set_flags(rflags, RFLAGS_CF | RFLAGS_OF, overflow ? RFLAGS_CF | RFLAGS_OF : 0);
}

u64 alu_imul(unsigned int size, u64 a, u64 b, u64 *rflags)
{
	__int128 product = (__int128)sign_extend(a, size) * sign_extend(b, size);
	u64 low = (u64)product & mask(size);

	set_overflow(rflags, product != sign_extend(low, size));
	return low;
}

/* high:low by b, where the quotient is known to fit into 64 bits. The compiler would call a
 * function of its library. */
static u64 divide(u64 high, u64 low, u64 b, u64 *remainder)
{
	__asm__("divq %2" : "+a"(low), "+d"(high) : "rm"(b) : "cc");
	*remainder = high;
	return low;
}

static int divide_unsigned(unsigned int size, u64 *high, u64 *low, u64 b)
{
	unsigned int bits = 8 * size;
	unsigned __int128 a = (unsigned __int128)*high << bits | *low;
	u64 remainder;

	if (*high >= b) /* b is 0, or the quotient does not fit */
		return -ERANGE;
	*low = divide((u64)(a >> 64), (u64)a, b, &remainder);
	*high = remainder;
	return 0;
}

static int divide_signed(unsigned int size, u64 *high, u64 *low, u64 b)
{
	unsigned int bits = 8 * size;
	__int128 a = (__int128)((unsigned __int128)sign_extend(*high, size) << bits | *low);
	s64 divisor = sign_extend(b, size);
	unsigned __int128 magnitude = a < 0 ? -(unsigned __int128)a : (unsigned __int128)a;
	u64 by = divisor < 0 ? -(u64)divisor : (u64)divisor, quotient, remainder;
	bool negative = (a < 0) != (divisor < 0);

	if ((u64)(magnitude >> 64) >= by)
		return -ERANGE;
	quotient = divide((u64)(magnitude >> 64), (u64)magnitude, by, &remainder);
	if (quotient > sign(size) - !negative)
		return -ERANGE;
	*low = (negative ? -quotient : quotient) & mask(size);
	*high = (a < 0 ? -remainder : remainder) & mask(size);
	return 0;
}

int alu_wide(enum insn_op op, unsigned int size, u64 *high, u64 *low, u64 b, u64 *rflags)
{
	unsigned __int128 product;

	*high &= mask(size);
	*low &= mask(size);
	b &= mask(size);
	if (op == INSN_DIV)
		return divide_unsigned(size, high, low, b);
	if (op == INSN_IDIV)
		return divide_signed(size, high, low, b);

	if (op == INSN_IMUL)
		product = (unsigned __int128)((__int128)sign_extend(*low, size) *
					      sign_extend(b, size));
	else
		product = (unsigned __int128)*low * b;
	*low = (u64)product & mask(size);
	*high = (u64)(product >> 8 * size) & mask(size);
	set_overflow(rflags,
		     op == INSN_MUL ? *high != 0 : (__int128)product != sign_extend(*low, size));
	return 0;
}

bool alu_condition(u8 condition, u64 rflags)
{
	bool sf = rflags & RFLAGS_SF, of = rflags & RFLAGS_OF, zf = rflags & RFLAGS_ZF;
	bool holds = false;

	switch (condition >> 1) {
	case 0:
		holds = of;
		break;
	case 1:
		holds = rflags & RFLAGS_CF;
		break;
	case 2:
		holds = zf;
		break;
	case 3:
		holds = zf || (rflags & RFLAGS_CF);
		break;
	case 4:
		holds = sf;
		break;
	case 5:
		holds = rflags & RFLAGS_PF;
		break;
	case 6:
		holds = sf != of;
		break;
	case 7:
		holds = zf || sf != of;
		break;
	}
	return holds != (condition & 1);
}
