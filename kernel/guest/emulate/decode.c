/* A decoder for the x86 instructions that access device registers (SDM vol. 2, chapter 2). */
#include <kernel/guest/emulate/decode.h>

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
	bool operand_size, address_size, repeat, lock;
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
		case 0xf3:
			p->repeat = true;
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
	insn->other = OTHER_REGISTER;
	if (insn->reg_size == 1 && !p->has_rex && reg >= 4) {
		insn->reg = reg - 4;
		insn->high_byte = true;
	} else {
		insn->reg = reg | (p->rex & REX_R ? 8 : 0);
	}
}

static void set_immediate(struct reader *r, struct insn *insn, unsigned int size)
{
	insn->other = OTHER_IMMEDIATE;
	insn->immediate = (u64)fetch(r, size < 4 ? size : 4);
}

/* Two-byte opcodes: 0Fh, then another byte. */
static int two_byte(struct reader *r, const struct prefixes *p, bool long_mode, u8 operand_size,
		    struct insn *insn)
{
	u8 opcode = fetch_byte(r), reg;

	insn->reg_size = operand_size;
	switch (opcode) {
	case 0xb6:
	case 0xb7:
	case 0xbe:
	case 0xbf:
		insn->op = opcode < 0xb8 ? INSN_MOVZX : INSN_MOVSX;
		insn->mem_size = opcode & 1 ? 2 : 1;
		insn->mem_is_source = true;
		break;
	case 0xc3: /* MOVNTI */
		if (p->operand_size || p->repeat)
			return -EINVAL;
		insn->op = INSN_MOV;
		insn->mem_size = insn->reg_size = p->rex & REX_W ? 8 : 4;
		break;
	default:
		return -EINVAL;
	}
	if (!read_modrm(r, p, long_mode, insn, &reg))
		return -EINVAL;
	set_register(insn, p, reg);
	return 0;
}

static int one_byte(struct reader *r, const struct prefixes *p, bool long_mode, u8 opcode,
		    u8 operand_size, struct insn *insn)
{
	/* In nearly all opcodes bit 0 selects byte or full operand size. */
	u8 size = opcode & 1 ? operand_size : 1, reg;

	insn->mem_size = insn->reg_size = size;
	switch (opcode) {
	case 0xa0:
	case 0xa1:
	case 0xa2:
	case 0xa3: /* rAX and an absolute address, as wide as the address size */
		insn->op = INSN_MOV;
		insn->mem_is_source = opcode < 0xa2;
		insn->displacement = fetch(r, insn->address_size);
		insn->other = OTHER_REGISTER;
		insn->reg = RAX;
		return 0;
	case 0xa4:
	case 0xa5:
		insn->op = INSN_MOVS;
		insn->rep = p->repeat;
		return 0;
	case 0xaa:
	case 0xab:
	case 0xac:
	case 0xad:
		insn->op = opcode < 0xac ? INSN_STOS : INSN_LODS;
		insn->rep = p->repeat;
		insn->mem_is_source = insn->op == INSN_LODS;
		insn->other = OTHER_REGISTER;
		insn->reg = RAX;
		return 0;
	case 0x63: /* MOVSXD; ARPL outside 64-bit mode */
		/* Processors differ in how much they read for a 16-bit register. */
		if (!long_mode || operand_size == 2)
			return -EINVAL;
		insn->op = INSN_MOVSX;
		insn->mem_size = 4;
		insn->mem_is_source = true;
		break;
	case 0x84:
	case 0x85:
		insn->op = INSN_TEST;
		break;
	case 0x86:
	case 0x87:
		insn->op = INSN_XCHG;
		break;
	case 0x88:
	case 0x89:
	case 0x8a:
	case 0x8b:
		insn->op = INSN_MOV;
		insn->mem_is_source = opcode & 2;
		break;
	case 0x80:
	case 0x81:
	case 0x82:
	case 0x83:
	case 0xc6:
	case 0xc7:
	case 0xf6:
	case 0xf7:
	case 0xfe:
	case 0xff:
		break; /* ModRM.reg selects the operation */
	default:
		if (opcode >= 0x40 || (opcode & 7) >= 4)
			return -EINVAL;
		insn->op = opcode >> 3;
		insn->mem_is_source = opcode & 2;
	}

	if (!read_modrm(r, p, long_mode, insn, &reg))
		return -EINVAL;

	switch (opcode) {
	case 0x80:
	case 0x81:
	case 0x82:
	case 0x83:
		if (opcode == 0x82 && long_mode)
			return -EINVAL;
		insn->op = reg;
		set_immediate(r, insn, opcode == 0x83 ? 1 : size);
		return 0;
	case 0xc6:
	case 0xc7:
		if (reg)
			return -EINVAL;
		insn->op = INSN_MOV;
		set_immediate(r, insn, size);
		return 0;
	case 0xf6:
	case 0xf7:
		if (reg > 3)
			return -EINVAL;
		insn->op = reg < 2 ? INSN_TEST : reg == 2 ? INSN_NOT : INSN_NEG;
		if (reg < 2)
			set_immediate(r, insn, size);
		return 0;
	case 0xfe:
	case 0xff:
		if (reg > 1)
			return -EINVAL;
		insn->op = reg ? INSN_DEC : INSN_INC;
		return 0;
	default:
		set_register(insn, p, reg);
		return 0;
	}
}

/* SDM vol. 2, LOCK: only for instructions that read, modify and write memory. */
static bool lock_allowed(const struct insn *insn)
{
	if (insn->mem_is_source)
		return false;
	return (insn->op <= INSN_XOR) || insn->op == INSN_XCHG ||
	       (insn->op >= INSN_NOT && insn->op <= INSN_DEC);
}

int decode_insn(const u8 *bytes, unsigned int nr, unsigned int code_bits, struct insn *insn)
{
	bool long_mode = code_bits == 64, cut = nr < INSN_MAX_LENGTH;
	struct reader r = { bytes, cut ? nr : INSN_MAX_LENGTH, 0, false };
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

	ret = opcode == 0x0f ? two_byte(&r, &p, long_mode, operand_size, insn) :
			       one_byte(&r, &p, long_mode, opcode, operand_size, insn);
	/* Part of the instruction was missing, so any other result is meaningless. */
	if (r.overrun)
		return cut ? -E2BIG : -EINVAL;
	if (ret || (p.lock && !lock_allowed(insn)))
		return -EINVAL;
	insn->length = (u8)r.at;
	return 0;
}
