/* Emulates instructions that access trapped memory: decodes them, then executes them. */
#include <kernel/guest/emulate/mmio.h>

#include <kernel/guest/emulate/alu.h>
#include <kernel/guest/emulate/decode.h>
#include <kernel/guest/emulate/guestlinear.h>
#include <kernel/guest/emulate/operand.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/x86/control.h>

/* How many elements of a repeated string instruction one exit executes. The instruction continues
 * in the next exit. */
#define STRING_ELEMENTS 8

static u64 mask(unsigned int bytes)
{
	return ~0UL >> (64 - 8 * bytes);
}

static unsigned int code_bits(struct vcpu *v)
{
	struct vcpu_mode m;

	vcpu_backend->mode(v, &m);
	if ((m.efer & EFER_LMA) && m.cs_long)
		return 64;
	return m.cs_32 ? 32 : 16;
}

static u64 to_linear(struct vcpu *v, unsigned int bits, unsigned int segment, u64 offset)
{
	if (bits == 64 && segment != SEG_FS && segment != SEG_GS)
		return offset;
	offset += vcpu_backend->segment_base(v, segment);
	return bits == 64 ? offset : (u32)offset;
}

static u64 effective_address(struct vcpu *v, unsigned int bits, const struct insn *insn)
{
	u64 offset = (u64)insn->displacement;

	if (insn->rip_relative)
		offset += v->rip + insn->length;
	if (insn->base != NO_REGISTER)
		offset += v->reg[insn->base];
	if (insn->index != NO_REGISTER)
		offset += v->reg[insn->index] * insn->scale;
	return to_linear(v, bits, insn->segment, offset & mask(insn->address_size));
}

static u64 get_register(const struct vcpu *v, const struct insn *insn)
{
	return v->reg[insn->reg] >> (insn->high_byte ? 8 : 0) & mask(insn->reg_size);
}

static void set_register(struct vcpu *v, unsigned int reg, unsigned int size, bool high, u64 value)
{
	unsigned int shift = high ? 8 : 0;
	u64 m = mask(size) << shift;

	/* 32-bit results clear the upper half (SDM vol. 1, 3.4.1.1). */
	if (size == 4)
		v->reg[reg] = (u32)value;
	else
		v->reg[reg] = (v->reg[reg] & ~m) | (value << shift & m);
}

static void advance(struct vcpu *v, unsigned int bits, const struct insn *insn)
{
	u64 rip = v->rip + insn->length;

	vcpu_backend->set_rip(v, bits == 64 ? rip : (u32)rip);
}

static u64 sign_extend(u64 value, unsigned int size)
{
	unsigned int unused = 64 - 8 * size;

	return (u64)((s64)(value << unused) >> unused);
}

/* Memory to register. */
static int load_operand(struct vcpu *v, const struct insn *insn, const struct operand *p)
{
	u64 value;
	int ret = operand_access(v, p, false, &value);

	if (ret)
		return ret;
	switch (insn->op) {
	case INSN_MOV:
	case INSN_MOVZX:
		break;
	case INSN_MOVSX:
		value = sign_extend(value, insn->mem_size);
		break;
	default:
		value = alu(insn->op, insn->mem_size, get_register(v, insn), value, &v->rflags);
		if (insn->op == INSN_CMP)
			return 0;
	}
	set_register(v, insn->reg, insn->reg_size, insn->high_byte, value);
	return 0;
}

/* Memory is written, or only read by CMP and TEST. */
static int store_operand(struct vcpu *v, const struct insn *insn, const struct operand *p)
{
	u64 other = insn->other == OTHER_REGISTER ? get_register(v, insn) : insn->immediate;
	u64 value, flags = v->rflags;
	int ret;

	if (insn->op == INSN_MOV)
		return operand_access(v, p, true, &other);

	ret = operand_access(v, p, false, &value);
	if (ret)
		return ret;
	if (insn->op == INSN_XCHG) {
		ret = operand_access(v, p, true, &other);
		if (!ret)
			set_register(v, insn->reg, insn->reg_size, insn->high_byte, value);
		return ret;
	}
	value = alu(insn->op, insn->mem_size, value, other, &flags);
	if (insn->op != INSN_CMP && insn->op != INSN_TEST)
		ret = operand_access(v, p, true, &value);
	if (!ret)
		v->rflags = flags;
	return ret;
}

static void add_to_register(struct vcpu *v, unsigned int reg, unsigned int size, u64 n)
{
	set_register(v, reg, size, false, v->reg[reg] + n);
}

static int string_element(struct vcpu *v, unsigned int bits, const struct insn *insn)
{
	unsigned int size = insn->mem_size;
	u64 step = v->rflags & RFLAGS_DF ? -(u64)size : size;
	bool reads = insn->op != INSN_STOS, writes = insn->op != INSN_LODS;
	u64 rdi = v->reg[RDI] & mask(insn->address_size);
	u64 rsi = v->reg[RSI] & mask(insn->address_size);
	u64 value = v->reg[RAX];
	struct operand from, to;
	int ret = 0;

	/* Locate the destination first: reading the source may have side effects on a device, which
	 * a later page fault could not undo. */
	if (writes)
		ret = operand_locate(v, to_linear(v, bits, SEG_ES, rdi), size, true, &to);
	if (!ret && reads)
		ret = operand_locate(v, to_linear(v, bits, insn->segment, rsi), size, false, &from);
	if (!ret && reads)
		ret = operand_access(v, &from, false, &value);
	if (!ret && writes)
		ret = operand_access(v, &to, true, &value);
	if (ret)
		return ret;

	if (reads)
		add_to_register(v, RSI, insn->address_size, step);
	if (writes)
		add_to_register(v, RDI, insn->address_size, step);
	else
		set_register(v, RAX, size, false, value);
	return 0;
}

static int string_instruction(struct vcpu *v, unsigned int bits, const struct insn *insn)
{
	u64 m = mask(insn->address_size);

	for (unsigned int i = 0; i < STRING_ELEMENTS; i++) {
		int ret;

		if (insn->rep && !(v->reg[RCX] & m))
			break;
		ret = string_element(v, bits, insn);
		if (ret)
			return ret;
		if (!insn->rep)
			break;
		add_to_register(v, RCX, insn->address_size, ~0UL);
	}
	if (!insn->rep || !(v->reg[RCX] & m))
		advance(v, bits, insn);
	return 0;
}

/* True if the access that faulted no longer matches, since another vCPU has changed the code, the
 * page tables or the memory map. Then the guest executes the instruction again. */
static bool is_stale(struct vcpu *v, const struct operand *p, gpaddr_t gpa)
{
	bool seen = false;
	u8 byte;

	for (unsigned int i = 0; i < p->nr; i++)
		seen |= p->part[i].gpa >> PAGE_SHIFT == gpa >> PAGE_SHIFT;
	return !seen || !guest_read(&v->vm->memory, gpa, &byte, 1);
}

static int describe_unknown(const u8 *bytes, unsigned int nr, char *why, size_t size)
{
	size_t at = (size_t)snprintf(why, size, "unknown instruction:");

	for (unsigned int i = 0; i < nr && at + 4 < size; i++)
		at += (size_t)snprintf(why + at, size - at, " %02x", bytes[i]);
	return -EINVAL;
}

int mmio_emulate(struct vcpu *v, gpaddr_t gpa, char *why, size_t why_size)
{
	unsigned int bits = code_bits(v), nr;
	u8 bytes[INSN_MAX_LENGTH];
	struct insn insn;
	struct operand p;
	bool write;
	u64 linear;
	int ret;

	nr = guest_fetch(v, bytes);
	if (decode_insn(bytes, nr, bits, &insn))
		return describe_unknown(bytes, nr, why, why_size);

	if (insn.op == INSN_MOVS || insn.op == INSN_STOS || insn.op == INSN_LODS) {
		ret = string_instruction(v, bits, &insn);
	} else {
		write = !insn.mem_is_source && insn.op != INSN_CMP && insn.op != INSN_TEST;
		linear = effective_address(v, bits, &insn);
		ret = operand_locate(v, linear, insn.mem_size, write, &p);
		if (!ret && is_stale(v, &p, gpa))
			return 0;
		if (!ret)
			ret = insn.mem_is_source ? load_operand(v, &insn, &p) :
						   store_operand(v, &insn, &p);
		if (!ret)
			advance(v, bits, &insn);
	}
	return ret == -EFAULT ? 0 : ret;
}
