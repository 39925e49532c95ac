/* Executes decoded instructions with one memory operand. */
#include <kernel/guest/emulate/execute.h>

#include <kernel/guest/emulate/address.h>
#include <kernel/guest/emulate/alu.h>
#include <kernel/guest/emulate/guestwalk.h>
#include <kernel/guest/emulate/simd.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuidcommon.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/exceptions.h>

/* The value of an operand: bits 63:0 and 127:64. */
struct value {
	u64 low, high;
};

static u64 sign_extend(u64 value, unsigned int size)
{
	unsigned int unused = 64 - 8 * size;

	return (u64)((s64)(value << unused) >> unused);
}

static u64 swap_bytes(u64 value, unsigned int size)
{
	return __builtin_bswap64(value) >> (64 - 8 * size);
}

static int raise(struct vcpu *v, enum exception e)
{
	vcpu_backend->inject(v, e, -1);
	return -EFAULT;
}

static u64 other_register(const struct vcpu *v, const struct insn *insn)
{
	return register_get(v, insn->reg, insn->reg_size, insn->high_byte);
}

static void set_other(struct vcpu *v, const struct insn *insn, u64 value)
{
	register_set(v, insn->reg, insn->reg_size, insn->high_byte, value);
}

bool insn_writes(const struct insn *insn)
{
	return !insn->mem_is_source && insn->op != INSN_CMP && insn->op != INSN_TEST &&
	       insn->op != INSN_BT;
}

/* --- memory to register --------------------------------------------------- */

static int load_vector(const struct insn *insn, struct value m)
{
	u64 xmm[2] = { m.low, m.high };

	if (insn->other == OTHER_MMX) {
		mmx_write(insn->reg, m.low);
		return 0;
	}
	if (insn->op != INSN_MOV) {
		xmm_read(insn->reg, xmm);
		xmm[insn->op == INSN_MOVHPS] = m.low;
	}
	xmm_write(insn->reg, xmm);
	return 0;
}

/* MUL, IMUL, DIV, IDIV: with AX, or with rDX:rAX. */
static int multiply_or_divide(struct vcpu *v, const struct insn *insn, u64 by)
{
	unsigned int size = insn->mem_size;
	u64 low = register_get(v, RAX, size, false);
	u64 high = size == 1 ? register_get(v, RAX, 1, true) : v->reg[RDX];

	if (alu_wide(insn->op, size, &high, &low, by, &v->rflags))
		return raise(v, EXC_DE);
	register_set(v, RAX, size, false, low);
	if (size == 1)
		register_set(v, RAX, 1, true, high);
	else
		register_set(v, RDX, size, false, high);
	return 0;
}

/* Where the processor lacks TZCNT and LZCNT, they are BSF and BSR. */
static enum insn_op counting_op(enum insn_op op)
{
	if (op == INSN_TZCNT && !(cpuid_common(7, 0).ebx & CPUID7_EBX_BMI1))
		return INSN_BSF;
	if (op == INSN_LZCNT && !(cpuid_common(0x80000001, 0).ecx & CPUID80000001_ECX_ABM))
		return INSN_BSR;
	return op;
}

static void count_bits(struct vcpu *v, const struct insn *insn, u64 m)
{
	enum insn_op op = counting_op(insn->op);
	u64 old = v->reg[insn->reg], n = alu_count(op, insn->mem_size, m, old, &v->rflags);

	/* BSF and BSR of 0 leave the whole register as it is. */
	if ((op == INSN_BSF || op == INSN_BSR) && (v->rflags & RFLAGS_ZF))
		return;
	set_other(v, insn, n);
}

static int load(struct vcpu *v, const struct insn *insn, struct value m)
{
	u64 old, value = m.low;

	if (insn->other == OTHER_XMM || insn->other == OTHER_MMX)
		return load_vector(insn, m);
	old = other_register(v, insn);
	switch (insn->op) {
	case INSN_MOV:
	case INSN_MOVZX:
		break;
	case INSN_MOVSX:
		value = sign_extend(value, insn->mem_size);
		break;
	case INSN_MOVBE:
		value = swap_bytes(value, insn->mem_size);
		break;
	case INSN_CMOV:
		if (!alu_condition(insn->condition, v->rflags))
			value = old;
		break;
	case INSN_MUL:
	case INSN_IMUL:
	case INSN_DIV:
	case INSN_IDIV:
		return multiply_or_divide(v, insn, value);
	case INSN_IMUL_2:
		value = alu_imul(insn->mem_size, old, value, &v->rflags);
		break;
	case INSN_IMUL_3:
		value = alu_imul(insn->mem_size, value, insn->immediate, &v->rflags);
		break;
	case INSN_BSF:
	case INSN_BSR:
	case INSN_TZCNT:
	case INSN_LZCNT:
	case INSN_POPCNT:
		count_bits(v, insn, value);
		return 0;
	default:
		value = alu(insn->op, insn->mem_size, old, value, &v->rflags);
		if (insn->op == INSN_CMP)
			return 0;
	}
	set_other(v, insn, value);
	return 0;
}

/* --- register to memory --------------------------------------------------- */

/* Instructions that only write. */
static int store(struct vcpu *v, const struct insn *insn, const struct operand *p)
{
	u64 words[2] = { insn->immediate, 0 };

	if (insn->op == INSN_SETCC) {
		words[0] = alu_condition(insn->condition, v->rflags);
	} else if (insn->other == OTHER_XMM) {
		xmm_read(insn->reg, words);
		if (insn->op == INSN_MOVHPS)
			words[0] = words[1];
	} else if (insn->other == OTHER_MMX) {
		words[0] = mmx_read(insn->reg);
	} else if (insn->other != OTHER_IMMEDIATE) {
		words[0] = other_register(v, insn);
		if (insn->op == INSN_MOVBE)
			words[0] = swap_bytes(words[0], insn->mem_size);
	}
	return operand_write(v, p, words);
}

/* --- both ----------------------------------------------------------------- */

static int compare_exchange(struct vcpu *v, const struct insn *insn, const struct operand *p, u64 m)
{
	u64 expected = register_get(v, RAX, insn->mem_size, false), flags = v->rflags;
	u64 value = other_register(v, insn);
	int ret = 0;

	(void)alu(INSN_CMP, insn->mem_size, expected, m, &flags);
	if (flags & RFLAGS_ZF)
		ret = operand_write(v, p, &value);
	else
		register_set(v, RAX, insn->mem_size, false, m);
	if (!ret)
		v->rflags = flags;
	return ret;
}

/* CMPXCHG8B and CMPXCHG16B: rDX:rAX with memory, rCX:rBX to memory. */
static int compare_exchange_pair(struct vcpu *v, const struct insn *insn, const struct operand *p,
				 struct value m)
{
	unsigned int half = insn->mem_size / 2;
	u64 low = half == 8 ? m.low : (u32)m.low, high = half == 8 ? m.high : m.low >> 32;
	u64 with[2] = { v->reg[RBX], v->reg[RCX] };
	int ret;

	if (low != register_get(v, RAX, half, false) || high != register_get(v, RDX, half, false)) {
		register_set(v, RAX, half, false, low);
		register_set(v, RDX, half, false, high);
		v->rflags &= ~RFLAGS_ZF;
		return 0;
	}
	if (half == 4)
		with[0] = (u32)with[0] | with[1] << 32;
	ret = operand_write(v, p, with);
	if (!ret)
		v->rflags |= RFLAGS_ZF;
	return ret;
}

/* Compute what is written to memory, and the flags. */
static u64 modified(struct vcpu *v, const struct insn *insn, u64 m, u64 *flags)
{
	u64 other = insn->other == OTHER_IMMEDIATE ? insn->immediate : other_register(v, insn);
	u8 count = (u8)(insn->by_cl ? v->reg[RCX] : insn->immediate);

	switch (insn->op) {
	case INSN_ROL:
	case INSN_ROR:
	case INSN_RCL:
	case INSN_RCR:
	case INSN_SHL:
	case INSN_SHR:
	case INSN_SAR:
	case INSN_SHLD:
	case INSN_SHRD:
		return alu_shift(insn->op, insn->mem_size, m, other, count, flags);
	case INSN_BT:
	case INSN_BTS:
	case INSN_BTR:
	case INSN_BTC:
		return alu_bit(insn->op, insn->mem_size, m, other & (8u * insn->mem_size - 1),
			       flags);
	case INSN_XADD:
		return alu(INSN_ADD, insn->mem_size, m, other, flags);
	case INSN_XCHG:
		return other;
	default:
		return alu(insn->op, insn->mem_size, m, other, flags);
	}
}

static int modify(struct vcpu *v, const struct insn *insn, const struct operand *p, struct value m)
{
	u64 flags = v->rflags, value;

	if (insn->op == INSN_CMPXCHG)
		return compare_exchange(v, insn, p, m.low);
	if (insn->op == INSN_CMPXCHG8B)
		return compare_exchange_pair(v, insn, p, m);
	value = modified(v, insn, m.low, &flags);
	if (insn_writes(insn)) {
		int ret = operand_write(v, p, &value);

		if (ret)
			return ret;
	}
	if (insn->op == INSN_XCHG || insn->op == INSN_XADD)
		set_other(v, insn, m.low);
	v->rflags = flags;
	return 0;
}

/* --- the stack ------------------------------------------------------------ */

/* The destination is located before the source is read, because reading may have side effects on a
 * device, which a later page fault could not undo. */
static int push_or_pop(struct guest_view *g, unsigned int bits, const struct insn *insn,
		       const struct operand *p)
{
	struct vcpu *v = g->v;
	unsigned int size = insn->mem_size, pointer = address_stack_size(v, bits);
	bool push = insn->op == INSN_PUSH;
	u64 rsp = register_get(v, RSP, pointer, false), next = push ? rsp - size : rsp + size;
	u64 top = push ? next : rsp, value = 0;
	struct operand stack;
	int ret;

	top &= ~0UL >> (64 - 8 * pointer);
	ret = operand_locate(g, address_linear(v, bits, SEG_SS, top), size, push, &stack);
	if (!ret)
		ret = operand_read(v, push ? p : &stack, &value);
	if (!ret)
		ret = operand_write(v, push ? &stack : p, &value);
	if (!ret)
		register_set(v, RSP, pointer, false, next);
	return ret;
}

int execute(struct guest_view *g, unsigned int bits, const struct insn *insn,
	    const struct operand *p)
{
	struct vcpu *v = g->v;
	struct value m = { 0, 0 };
	int ret;

	if (insn->other == OTHER_MMX && x87_error_pending())
		return raise(v, EXC_MF);
	switch (insn->op) {
	case INSN_PUSH:
	case INSN_POP:
		return push_or_pop(g, bits, insn, p);
	case INSN_MOV:
	case INSN_MOVBE:
	case INSN_MOVLPS:
	case INSN_MOVHPS:
	case INSN_SETCC:
		if (!insn->mem_is_source)
			return store(v, insn, p);
		break;
	default:
		break;
	}
	ret = operand_read(v, p, &m);
	if (ret)
		return ret;
	return insn->mem_is_source ? load(v, insn, m) : modify(v, insn, p, m);
}
