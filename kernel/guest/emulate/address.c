/* Addresses and registers as an instruction's operands name them. */
#include <kernel/guest/emulate/address.h>

#include <kernel/guest/vcpu/backend.h>
#include <kernel/x86/control.h>

static u64 mask(unsigned int bytes)
{
	return ~0UL >> (64 - 8 * bytes);
}

u64 address_linear(struct vcpu *v, unsigned int bits, unsigned int segment, u64 offset)
{
	if (bits == 64 && segment != SEG_FS && segment != SEG_GS)
		return offset;
	offset += vcpu_backend->segment_base(v, segment);
	return bits == 64 ? offset : (u32)offset;
}

u64 address_effective(struct vcpu *v, unsigned int bits, const struct insn *insn)
{
	s64 bit = (s64)v->reg[insn->reg];
	u64 offset = (u64)insn->displacement;

	if (insn->rip_relative)
		offset += v->rip + insn->length;
	if (insn->base != NO_REGISTER)
		offset += v->reg[insn->base];
	if (insn->index != NO_REGISTER)
		offset += v->reg[insn->index] * insn->scale;
	/* POP increments the stack pointer before it computes the address. */
	if (insn->op == INSN_POP && insn->base == RSP)
		offset += insn->mem_size;
	/* The bit offset in a register is signed and may lie outside of the operand: the one that
	 * has the bit is accessed (SDM vol. 2, table 3-2). */
	if (insn->op >= INSN_BT && insn->op <= INSN_BTC && insn->other == OTHER_REGISTER) {
		unsigned int unused = 64 - 8 * insn->mem_size;

		bit = (s64)((u64)bit << unused) >> unused;
		offset += (u64)((bit >> 3) & ~(s64)(insn->mem_size - 1));
	}
	return address_linear(v, bits, insn->segment, offset & mask(insn->address_size));
}

unsigned int address_stack_size(struct vcpu *v, unsigned int bits)
{
	struct vcpu_mode m;

	if (bits == 64)
		return 8;
	vcpu_backend->mode(v, &m);
	return m.ss_32 ? 4 : 2;
}

u64 register_get(const struct vcpu *v, unsigned int reg, unsigned int size, bool high)
{
	return v->reg[reg] >> (high ? 8 : 0) & mask(size);
}

void register_set(struct vcpu *v, unsigned int reg, unsigned int size, bool high, u64 value)
{
	unsigned int shift = high ? 8 : 0;
	u64 m = mask(size) << shift;

	if (size == 4)
		v->reg[reg] = (u32)value;
	else
		v->reg[reg] = (v->reg[reg] & ~m) | (value << shift & m);
}

void register_add(struct vcpu *v, unsigned int reg, unsigned int size, u64 n)
{
	register_set(v, reg, size, false, v->reg[reg] + n);
}
