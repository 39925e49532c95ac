/* A decoder for the x86 instructions that access device registers (SDM vol. 2, chapter 2). */
#include <kernel/guest/emulate/decode.h>

#include <kernel/guest/emulate/opcodes.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/lib/errno.h>

#define REX_W 8
#define REX_R 4
#define REX_X 2
#define REX_B 1

struct reader {
	const u8 *bytes;
	unsigned int nr, at;
	bool overrun;
};

struct prefixes {
	bool operand_size, address_size, lock;
	enum insn_repeat repeat; /* the last one counts */
	u8 rex; /* bits 3:0; with has_rex, a REX prefix of 40h differs from none */
	bool has_rex;
	int segment; /* -1: none */
};

/* Fetch a signed little-endian value. Beyond the end, return 0 and set `overrun`. */
static s64 fetch(struct reader *r, unsigned int size)
{
	u64 value = 0;

	if (size > r->nr - r->at) {
		r->overrun = true;
		return 0;
	}
	for (unsigned int i = 0; i < size; i++)
		value |= (u64)r->bytes[r->at++] << 8 * i;
	switch (size) {
	case 1:
		return (s8)value;
	case 2:
		return (s16)value;
	case 4:
		return (s32)value;
	default:
		return (s64)value;
	}
}

static u8 fetch_byte(struct reader *r)
{
	return (u8)fetch(r, 1);
}

/* Read the prefixes (SDM vol. 2, 2.1.1 and 2.2.1). Returns the first byte of the opcode. */
static u8 read_prefixes(struct reader *r, bool long_mode, struct prefixes *p)
{
	*p = (struct prefixes){ .segment = -1 };
	for (;;) {
		u8 byte = fetch_byte(r);

		if (long_mode && (byte & 0xf0) == 0x40) {
			p->rex = byte & 0xf;
			p->has_rex = true;
			continue;
		}
		switch (byte) {
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
			/* Ignored in 64-bit mode: they do not even override an earlier FS or GS. */
			if (!long_mode)
				p->segment = SEG_ES + (byte - 0x26) / 8;
			break;
		case 0x64:
			p->segment = SEG_FS;
			break;
		case 0x65:
			p->segment = SEG_GS;
			break;
		case 0x66:
			p->operand_size = true;
			break;
		case 0x67:
			p->address_size = true;
			break;
		case 0xf0:
			p->lock = true;
			break;
		case 0xf2:
			p->repeat = REPEAT_NOT_EQUAL;
			break;
		case 0xf3:
			p->repeat = REPEAT_EQUAL;
			break;
		default:
			return byte;
		}
		/* A REX prefix is valid only directly before the opcode. */
		p->rex = 0;
		p->has_rex = false;
		if (r->overrun)
			return 0;
	}
}

/* SDM vol. 2, table 2-1. */
static void modrm_16(struct reader *r, u8 mod, u8 rm, struct insn *insn)
{
	static const u8 bases[8] = { RBX, RBX, RBP, RBP, RSI, RDI, RBP, RBX };
	static const u8 indexes[8] = { RSI,	    RDI,	 RSI,	      RDI,
				       NO_REGISTER, NO_REGISTER, NO_REGISTER, NO_REGISTER };

	if (mod == 0 && rm == 6) {
		insn->displacement = fetch(r, 2);
		return;
	}
	insn->base = bases[rm];
	insn->index = indexes[rm];
	if (mod)
		insn->displacement = fetch(r, mod);
}

/* SDM vol. 2, tables 2-2 and 2-3; the REX bits of section 2.2.1.2. */
static void modrm_32(struct reader *r, u8 mod, u8 rm, bool long_mode, u8 rex, struct insn *insn)
{
	u8 base = rm;

	if (rm == 4) {
		u8 sib = fetch_byte(r);
		u8 index = (sib >> 3 & 7) | (rex & REX_X ? 8 : 0);

		if (index != RSP) {
			insn->index = index;
			insn->scale = (u8)(1 << (sib >> 6));
		}
		base = sib & 7;
	}
	if (mod == 0 && base == RBP) {
		insn->displacement = fetch(r, 4);
		insn->rip_relative = long_mode && rm != 4;
		return;
	}
	insn->base = base | (rex & REX_B ? 8 : 0);
	if (mod)
		insn->displacement = fetch(r, mod == 1 ? 1 : 4);
}

/* Decode the memory operand and ModRM.reg. False: there is no memory operand. */
static bool read_modrm(struct reader *r, const struct prefixes *p, bool long_mode,
		       struct insn *insn, u8 *reg)
{
	u8 modrm = fetch_byte(r), mod = modrm >> 6, rm = modrm & 7;

	*reg = modrm >> 3 & 7;
	if (mod == 3)
		return false;
	if (insn->address_size == 2)
		modrm_16(r, mod, rm, insn);
	else
		modrm_32(r, mod, rm, long_mode, p->rex, insn);

	/* The default segment depends on the base register. */
	if (p->segment < 0 && (insn->base == RBP || insn->base == RSP))
		insn->segment = SEG_SS;
	return true;
}

static void set_register(struct insn *insn, const struct prefixes *p, u8 reg)
{
	u8 extended = reg | (p->rex & REX_R ? 8 : 0);

	switch (insn->other) {
	case OTHER_REGISTER:
		insn->high_byte = insn->reg_size == 1 && !p->has_rex && reg >= 4;
		insn->reg = insn->high_byte ? reg - 4 : extended;
		break;
	case OTHER_XMM:
		insn->reg = extended;
		break;
	case OTHER_MMX:
		insn->reg = reg;
		break;
	default: /* ModRM.reg is part of the opcode */
		break;
	}
}

static u8 memory_size(enum opcode_size size, bool long_mode, const struct prefixes *p,
		      u8 operand_size)
{
	bool wide = p->rex & REX_W;

	switch (size) {
	case SIZE_1:
		return 1;
	case SIZE_2:
		return 2;
	case SIZE_4:
		return 4;
	case SIZE_8:
		return 8;
	case SIZE_16:
		return 16;
	case SIZE_STACK:
		return long_mode && operand_size == 4 ? 8 : operand_size;
	case SIZE_WIDE:
		return wide ? 8 : 4;
	case SIZE_PAIR:
		return wide ? 16 : 8;
	default:
		return operand_size;
	}
}

/* Read the opcode, which begins with `byte`, and find it in the table. */
static bool read_opcode(struct reader *r, const struct prefixes *p, u8 byte, struct opcode *o,
			u8 *last)
{
	enum opcode_map map = MAP_ONE_BYTE;
	enum mandatory prefix = p->repeat == REPEAT_EQUAL     ? MANDATORY_F3 :
				p->repeat == REPEAT_NOT_EQUAL ? MANDATORY_F2 :
				p->operand_size		      ? MANDATORY_66 :
								MANDATORY_NONE;
	bool found;

	if (byte == 0x0f) {
		map = MAP_0F;
		byte = fetch_byte(r);
		if (byte == 0x38) {
			map = MAP_0F38;
			byte = fetch_byte(r);
		}
	}
	*last = byte;
	found = opcode_find(map, byte, prefix, r->at < r->nr ? r->bytes[r->at] : 0, o);
	/* The byte that is missing could name another instruction of a group. */
	if (r->at == r->nr && !(found && (o->flags & NO_MODRM)))
		r->overrun = true;
	return found;
}

/* Read what follows the opcode. */
static int read_operands(struct reader *r, const struct prefixes *p, bool long_mode,
			 const struct opcode *o, struct insn *insn)
{
	u8 reg = 0;

	if (o->flags & ABSOLUTE)
		insn->displacement = fetch(r, insn->address_size);
	else if (!(o->flags & NO_MODRM) && !read_modrm(r, p, long_mode, insn, &reg))
		return -EINVAL;
	set_register(insn, p, reg);

	if (o->flags & IMM_8)
		insn->immediate = (u64)fetch(r, 1);
	else if (o->flags & IMM_FULL)
		insn->immediate = (u64)fetch(r, insn->mem_size < 4 ? insn->mem_size : 4);
	else if (o->flags & BY_ONE)
		insn->immediate = 1;
	return 0;
}

static int decode_opcode(struct reader *r, const struct prefixes *p, bool long_mode, u8 first,
			 u8 operand_size, struct insn *insn)
{
	struct opcode o;
	u8 byte;

	if (!read_opcode(r, p, first, &o, &byte) || (long_mode && (o.flags & NOT_64)) ||
	    (!long_mode && (o.flags & ONLY_64)))
		return -EINVAL;
	/* Processors differ in how much MOVSXD reads for a 16-bit register. */
	if ((o.flags & ONLY_64) && operand_size == 2)
		return -EINVAL;
	/* Any other instruction raises #UD (SDM vol. 2, LOCK). */
	if (p->lock && !(o.flags & MAY_LOCK))
		return -EINVAL;

	insn->op = o.op;
	insn->other = o.other;
	insn->mem_size = memory_size(o.size, long_mode, p, operand_size);
	insn->reg_size = o.flags & WIDENS ? operand_size : insn->mem_size;
	insn->mem_is_source = o.flags & TO_REGISTER;
	insn->aligned = (o.flags & MUST_ALIGN) || (o.op == INSN_CMPXCHG8B && insn->mem_size == 16);
	insn->by_cl = o.flags & BY_CL;
	if (o.flags & CONDITION)
		insn->condition = byte & 0xf;
	if (insn_is_string(insn))
		insn->repeat = p->repeat;
	return read_operands(r, p, long_mode, &o, insn);
}

int decode_insn(const u8 *bytes, unsigned int nr, unsigned int code_bits, struct insn *insn)
{
	bool long_mode = code_bits == 64;
	struct reader r = { bytes, MIN(nr, (unsigned int)INSN_MAX_LENGTH), 0, false };
	struct prefixes p;
	u8 opcode, operand_size;
	int ret;

	*insn = (struct insn){ .base = NO_REGISTER, .index = NO_REGISTER, .scale = 1 };
	opcode = read_prefixes(&r, long_mode, &p);
	insn->segment = (u8)(p.segment < 0 ? SEG_DS : p.segment);

	/* SDM vol. 1, 3.6. */
	if (long_mode) {
		insn->address_size = p.address_size ? 4 : 8;
		operand_size = p.rex & REX_W ? 8 : p.operand_size ? 2 : 4;
	} else {
		insn->address_size = (code_bits == 32) != p.address_size ? 4 : 2;
		operand_size = (code_bits == 32) != p.operand_size ? 4 : 2;
	}

	ret = decode_opcode(&r, &p, long_mode, opcode, operand_size, insn);
	/* Part of the instruction was missing, so any other result is meaningless. */
	if (r.overrun)
		return -E2BIG;
	if (ret)
		return ret;
	insn->length = (u8)r.at;
	return 0;
}
