/* The decoder against Zydis: both must accept the same instructions, with the same length and the
 * same operands. */
#pragma once

#include <tests/unit/test.h>

#include <Zydis/Zydis.h>

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/emulate/decode.h>
#include <kernel/lib/errno.h>

static inline u64 mask(unsigned int bytes)
{
	return ~0UL >> (64 - 8 * bytes);
}

static inline bool find_op(const ZydisDecodedInstruction *z, enum insn_op *op)
{
	static const struct {
		ZydisMnemonic mnemonic;
		enum insn_op op;
	} map[] = {
		{ ZYDIS_MNEMONIC_ADD, INSN_ADD },     { ZYDIS_MNEMONIC_OR, INSN_OR },
		{ ZYDIS_MNEMONIC_ADC, INSN_ADC },     { ZYDIS_MNEMONIC_SBB, INSN_SBB },
		{ ZYDIS_MNEMONIC_AND, INSN_AND },     { ZYDIS_MNEMONIC_SUB, INSN_SUB },
		{ ZYDIS_MNEMONIC_XOR, INSN_XOR },     { ZYDIS_MNEMONIC_CMP, INSN_CMP },
		{ ZYDIS_MNEMONIC_TEST, INSN_TEST },   { ZYDIS_MNEMONIC_NOT, INSN_NOT },
		{ ZYDIS_MNEMONIC_NEG, INSN_NEG },     { ZYDIS_MNEMONIC_INC, INSN_INC },
		{ ZYDIS_MNEMONIC_DEC, INSN_DEC },     { ZYDIS_MNEMONIC_MOV, INSN_MOV },
		{ ZYDIS_MNEMONIC_MOVNTI, INSN_MOV },  { ZYDIS_MNEMONIC_MOVZX, INSN_MOVZX },
		{ ZYDIS_MNEMONIC_MOVSX, INSN_MOVSX }, { ZYDIS_MNEMONIC_MOVSXD, INSN_MOVSX },
		{ ZYDIS_MNEMONIC_XCHG, INSN_XCHG },   { ZYDIS_MNEMONIC_MOVSB, INSN_MOVS },
		{ ZYDIS_MNEMONIC_MOVSW, INSN_MOVS },  { ZYDIS_MNEMONIC_MOVSD, INSN_MOVS },
		{ ZYDIS_MNEMONIC_MOVSQ, INSN_MOVS },  { ZYDIS_MNEMONIC_STOSB, INSN_STOS },
		{ ZYDIS_MNEMONIC_STOSW, INSN_STOS },  { ZYDIS_MNEMONIC_STOSD, INSN_STOS },
		{ ZYDIS_MNEMONIC_STOSQ, INSN_STOS },  { ZYDIS_MNEMONIC_LODSB, INSN_LODS },
		{ ZYDIS_MNEMONIC_LODSW, INSN_LODS },  { ZYDIS_MNEMONIC_LODSD, INSN_LODS },
		{ ZYDIS_MNEMONIC_LODSQ, INSN_LODS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (map[i].mnemonic == z->mnemonic) {
			*op = map[i].op;
			return true;
		}
	return false;
}

static inline bool is_string(u8 op)
{
	return op == INSN_MOVS || op == INSN_STOS || op == INSN_LODS;
}

static inline void from_register(ZydisRegister reg, struct insn *insn)
{
	if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH) {
		insn->reg = (u8)(reg - ZYDIS_REGISTER_AH);
		insn->high_byte = true;
	} else if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B) {
		insn->reg = (u8)(reg - ZYDIS_REGISTER_SPL + 4);
	} else {
		insn->reg = (u8)ZydisRegisterGetId(reg);
	}
}

static inline bool is_gpr(ZydisRegister reg)
{
	ZydisRegisterClass c = ZydisRegisterGetClass(reg);

	return c >= ZYDIS_REGCLASS_GPR8 && c <= ZYDIS_REGCLASS_GPR64;
}

static inline u8 id_of(ZydisRegister reg)
{
	return reg == ZYDIS_REGISTER_NONE ? NO_REGISTER : (u8)ZydisRegisterGetId(reg);
}

static inline void from_memory(const ZydisDecodedOperandMem *m, struct insn *insn)
{
	insn->segment = (u8)ZydisRegisterGetId(m->segment);
	if (m->base == ZYDIS_REGISTER_RIP || m->base == ZYDIS_REGISTER_EIP)
		insn->rip_relative = true;
	else
		insn->base = id_of(m->base);
	insn->index = id_of(m->index);
	insn->scale = m->index == ZYDIS_REGISTER_NONE ? 1 : m->scale;
	insn->displacement = m->disp.has_displacement ? m->disp.value : 0;
}

/* What our decoder should return. False: it should reject the instruction. */
static inline bool expected(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o,
			    struct insn *insn)
{
	const ZydisDecodedOperand *mem = NULL, *other = NULL;

	*insn = (struct insn){ .base = NO_REGISTER, .index = NO_REGISTER, .scale = 1 };
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !find_op(z, &insn->op))
		return false;
	insn->length = z->length;
	insn->address_size = z->address_width / 8;

	if (is_string(insn->op)) {
		if (z->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
			return false; /* MOVSD of SSE2 */
		insn->mem_size = insn->reg_size = (u8)(o[0].size / 8);
		insn->mem_is_source = insn->op == INSN_LODS;
		insn->other = insn->op == INSN_MOVS ? OTHER_NONE : OTHER_REGISTER;
		insn->rep = z->attributes &
			    (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);
		for (unsigned int i = 0; i < z->raw.prefix_count; i++)
			insn->rep |= z->raw.prefixes[i].value == 0xf2 ||
				     z->raw.prefixes[i].value == 0xf3;
		insn->segment = SEG_DS;
		for (unsigned int i = 0; insn->op != INSN_STOS && i < z->operand_count; i++)
			if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
			    ZydisRegisterGetId(o[i].mem.base) == RSI)
				insn->segment = (u8)ZydisRegisterGetId(o[i].mem.segment);
		return true;
	}

	for (unsigned int i = 0; i < z->operand_count_visible; i++) {
		if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			mem = &o[i];
			insn->mem_is_source = i == 1 && insn->op != INSN_XCHG &&
					      insn->op != INSN_TEST;
		} else {
			other = &o[i];
		}
	}
	if (!mem)
		return false;
	insn->mem_size = insn->reg_size = (u8)(mem->size / 8);
	from_memory(&mem->mem, insn);
	/* With mod = 0, base = 101b means a displacement and no base, whatever REX.B says (SDM vol.
	 * 2, table 2-5). Zydis 4.0 reads the displacement, but names R13D. */
	if (insn->base == R13 && insn->address_size == 4 && z->raw.modrm.mod == 0 &&
	    z->raw.modrm.rm == 4) {
		insn->base = NO_REGISTER;
		insn->displacement = z->raw.disp.value;
	}
	if (!other)
		return true;
	if (other->type == ZYDIS_OPERAND_TYPE_REGISTER) {
		if (!is_gpr(other->reg.value))
			return false; /* MOV of a segment register */
		if (z->mnemonic == ZYDIS_MNEMONIC_MOVSXD && other->size == 16)
			return false; /* refused: see decode.c */
		insn->other = OTHER_REGISTER;
		insn->reg_size = (u8)(other->size / 8);
		from_register(other->reg.value, insn);
	} else {
		insn->other = OTHER_IMMEDIATE;
		insn->immediate = other->imm.value.u;
	}
	return true;
}

static inline bool same(const struct insn *a, const struct insn *b)
{
	u64 address = mask(a->address_size), operand = mask(a->mem_size);

	return a->op == b->op && a->length == b->length && a->mem_size == b->mem_size &&
	       a->reg_size == b->reg_size && a->address_size == b->address_size &&
	       a->mem_is_source == b->mem_is_source && a->other == b->other && a->reg == b->reg &&
	       a->high_byte == b->high_byte && a->rep == b->rep && a->base == b->base &&
	       a->index == b->index && a->scale == b->scale && a->rip_relative == b->rip_relative &&
	       (a->segment == b->segment || a->op == INSN_STOS) &&
	       (a->displacement & address) == (b->displacement & address) &&
	       (a->immediate & operand) == (b->immediate & operand);
}

static inline void print_insn(const char *who, int ret, const struct insn *i)
{
	printf("%s: %d op %u length %u mem %u%s reg %u (%u bytes%s) other %u address %u rep %u\n"
	       "	segment %u base %u index %u * %u rip %u displacement %ld immediate 0x%lx\n",
	       who, ret, i->op, i->length, i->mem_size, i->mem_is_source ? " (source)" : "", i->reg,
	       i->reg_size, i->high_byte ? ", high" : "", i->other, i->address_size, i->rep,
	       i->segment, i->base, i->index, i->scale, i->rip_relative, i->displacement,
	       i->immediate);
}

static inline ZydisDecoder *decoder_of(unsigned int code_bits)
{
	static ZydisDecoder decoder[3];
	static bool made;

	if (!made) {
		assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder[0], ZYDIS_MACHINE_MODE_LEGACY_16,
							  ZYDIS_STACK_WIDTH_16)));
		assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder[1], ZYDIS_MACHINE_MODE_LEGACY_32,
							  ZYDIS_STACK_WIDTH_32)));
		assert_true(ZYAN_SUCCESS(ZydisDecoderInit(&decoder[2], ZYDIS_MACHINE_MODE_LONG_64,
							  ZYDIS_STACK_WIDTH_64)));
		made = true;
	}
	return &decoder[code_bits >> 5];
}

/* Decodes INSN_MAX_LENGTH bytes, complete and truncated at every length. True if they are a known
 * instruction. */
static inline bool check_decode(const u8 *bytes, unsigned int code_bits, struct insn *ours)
{
	ZydisDecodedInstruction z;
	ZydisDecodedOperand o[ZYDIS_MAX_OPERAND_COUNT];
	struct insn theirs;
	int ret = decode_insn(bytes, INSN_MAX_LENGTH, code_bits, ours);
	bool known = ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder_of(code_bits), bytes,
							 INSN_MAX_LENGTH, &z, o)) &&
		     expected(&z, o, &theirs);

	if (known != !ret || (known && !same(ours, &theirs))) {
		printf("%u bits:", code_bits);
		for (unsigned int i = 0; i < INSN_MAX_LENGTH; i++)
			printf(" %02x", bytes[i]);
		printf("\n");
		print_insn("ours", ret, ours);
		if (known)
			print_insn("Zydis", 0, &theirs);
		fail();
	}
	if (!known)
		return false;
	assert_in_range(ours->length, 1, INSN_MAX_LENGTH);
	for (unsigned int nr = 0; nr < ours->length; nr++)
		assert_int_equal(decode_insn(bytes, nr, code_bits, &theirs), -E2BIG);
	return true;
}
