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

static inline bool find_op(const ZydisDecodedInstruction *z, struct insn *insn)
{
	static const struct {
		ZydisMnemonic mnemonic;
		enum insn_op op;
		u8 condition;
	} map[] = {
		{ ZYDIS_MNEMONIC_ADD, INSN_ADD, 0 },
		{ ZYDIS_MNEMONIC_OR, INSN_OR, 0 },
		{ ZYDIS_MNEMONIC_ADC, INSN_ADC, 0 },
		{ ZYDIS_MNEMONIC_SBB, INSN_SBB, 0 },
		{ ZYDIS_MNEMONIC_AND, INSN_AND, 0 },
		{ ZYDIS_MNEMONIC_SUB, INSN_SUB, 0 },
		{ ZYDIS_MNEMONIC_XOR, INSN_XOR, 0 },
		{ ZYDIS_MNEMONIC_CMP, INSN_CMP, 0 },
		{ ZYDIS_MNEMONIC_TEST, INSN_TEST, 0 },
		{ ZYDIS_MNEMONIC_NOT, INSN_NOT, 0 },
		{ ZYDIS_MNEMONIC_NEG, INSN_NEG, 0 },
		{ ZYDIS_MNEMONIC_INC, INSN_INC, 0 },
		{ ZYDIS_MNEMONIC_DEC, INSN_DEC, 0 },
		{ ZYDIS_MNEMONIC_ROL, INSN_ROL, 0 },
		{ ZYDIS_MNEMONIC_ROR, INSN_ROR, 0 },
		{ ZYDIS_MNEMONIC_RCL, INSN_RCL, 0 },
		{ ZYDIS_MNEMONIC_RCR, INSN_RCR, 0 },
		{ ZYDIS_MNEMONIC_SHL, INSN_SHL, 0 },
		{ ZYDIS_MNEMONIC_SHR, INSN_SHR, 0 },
		{ ZYDIS_MNEMONIC_SAR, INSN_SAR, 0 },
		{ ZYDIS_MNEMONIC_SHLD, INSN_SHLD, 0 },
		{ ZYDIS_MNEMONIC_SHRD, INSN_SHRD, 0 },
		{ ZYDIS_MNEMONIC_BT, INSN_BT, 0 },
		{ ZYDIS_MNEMONIC_BTS, INSN_BTS, 0 },
		{ ZYDIS_MNEMONIC_BTR, INSN_BTR, 0 },
		{ ZYDIS_MNEMONIC_BTC, INSN_BTC, 0 },
		{ ZYDIS_MNEMONIC_BSF, INSN_BSF, 0 },
		{ ZYDIS_MNEMONIC_BSR, INSN_BSR, 0 },
		{ ZYDIS_MNEMONIC_TZCNT, INSN_TZCNT, 0 },
		{ ZYDIS_MNEMONIC_LZCNT, INSN_LZCNT, 0 },
		{ ZYDIS_MNEMONIC_POPCNT, INSN_POPCNT, 0 },
		{ ZYDIS_MNEMONIC_MUL, INSN_MUL, 0 },
		{ ZYDIS_MNEMONIC_IMUL, INSN_IMUL, 0 },
		{ ZYDIS_MNEMONIC_DIV, INSN_DIV, 0 },
		{ ZYDIS_MNEMONIC_IDIV, INSN_IDIV, 0 },
		{ ZYDIS_MNEMONIC_MOV, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVZX, INSN_MOVZX, 0 },
		{ ZYDIS_MNEMONIC_MOVSX, INSN_MOVSX, 0 },
		{ ZYDIS_MNEMONIC_MOVBE, INSN_MOVBE, 0 },
		{ ZYDIS_MNEMONIC_MOVLPS, INSN_MOVLPS, 0 },
		{ ZYDIS_MNEMONIC_MOVHPS, INSN_MOVHPS, 0 },
		{ ZYDIS_MNEMONIC_XCHG, INSN_XCHG, 0 },
		{ ZYDIS_MNEMONIC_XADD, INSN_XADD, 0 },
		{ ZYDIS_MNEMONIC_CMPXCHG, INSN_CMPXCHG, 0 },
		{ ZYDIS_MNEMONIC_CMPXCHG8B, INSN_CMPXCHG8B, 0 },
		{ ZYDIS_MNEMONIC_PUSH, INSN_PUSH, 0 },
		{ ZYDIS_MNEMONIC_POP, INSN_POP, 0 },
		{ ZYDIS_MNEMONIC_MOVSXD, INSN_MOVSX, 0 },
		{ ZYDIS_MNEMONIC_MOVLPD, INSN_MOVLPS, 0 },
		{ ZYDIS_MNEMONIC_MOVHPD, INSN_MOVHPS, 0 },
		{ ZYDIS_MNEMONIC_CMPXCHG16B, INSN_CMPXCHG8B, 0 },
		{ ZYDIS_MNEMONIC_MOVNTI, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVD, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVQ, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVUPS, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVUPD, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVAPS, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVAPD, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVDQA, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVDQU, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVSS, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVSD, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVNTPS, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVNTPD, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVNTDQ, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVNTDQA, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVNTQ, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_LDDQU, INSN_MOV, 0 },
		{ ZYDIS_MNEMONIC_MOVSB, INSN_MOVS, 0 },
		{ ZYDIS_MNEMONIC_MOVSW, INSN_MOVS, 0 },
		{ ZYDIS_MNEMONIC_MOVSQ, INSN_MOVS, 0 },
		{ ZYDIS_MNEMONIC_STOSB, INSN_STOS, 0 },
		{ ZYDIS_MNEMONIC_STOSW, INSN_STOS, 0 },
		{ ZYDIS_MNEMONIC_STOSD, INSN_STOS, 0 },
		{ ZYDIS_MNEMONIC_STOSQ, INSN_STOS, 0 },
		{ ZYDIS_MNEMONIC_LODSB, INSN_LODS, 0 },
		{ ZYDIS_MNEMONIC_LODSW, INSN_LODS, 0 },
		{ ZYDIS_MNEMONIC_LODSD, INSN_LODS, 0 },
		{ ZYDIS_MNEMONIC_LODSQ, INSN_LODS, 0 },
		{ ZYDIS_MNEMONIC_CMPSB, INSN_CMPS, 0 },
		{ ZYDIS_MNEMONIC_CMPSW, INSN_CMPS, 0 },
		{ ZYDIS_MNEMONIC_CMPSD, INSN_CMPS, 0 },
		{ ZYDIS_MNEMONIC_CMPSQ, INSN_CMPS, 0 },
		{ ZYDIS_MNEMONIC_SCASB, INSN_SCAS, 0 },
		{ ZYDIS_MNEMONIC_SCASW, INSN_SCAS, 0 },
		{ ZYDIS_MNEMONIC_SCASD, INSN_SCAS, 0 },
		{ ZYDIS_MNEMONIC_SCASQ, INSN_SCAS, 0 },
		{ ZYDIS_MNEMONIC_CMOVO, INSN_CMOV, 0 },
		{ ZYDIS_MNEMONIC_SETO, INSN_SETCC, 0 },
		{ ZYDIS_MNEMONIC_CMOVNO, INSN_CMOV, 1 },
		{ ZYDIS_MNEMONIC_SETNO, INSN_SETCC, 1 },
		{ ZYDIS_MNEMONIC_CMOVB, INSN_CMOV, 2 },
		{ ZYDIS_MNEMONIC_SETB, INSN_SETCC, 2 },
		{ ZYDIS_MNEMONIC_CMOVNB, INSN_CMOV, 3 },
		{ ZYDIS_MNEMONIC_SETNB, INSN_SETCC, 3 },
		{ ZYDIS_MNEMONIC_CMOVZ, INSN_CMOV, 4 },
		{ ZYDIS_MNEMONIC_SETZ, INSN_SETCC, 4 },
		{ ZYDIS_MNEMONIC_CMOVNZ, INSN_CMOV, 5 },
		{ ZYDIS_MNEMONIC_SETNZ, INSN_SETCC, 5 },
		{ ZYDIS_MNEMONIC_CMOVBE, INSN_CMOV, 6 },
		{ ZYDIS_MNEMONIC_SETBE, INSN_SETCC, 6 },
		{ ZYDIS_MNEMONIC_CMOVNBE, INSN_CMOV, 7 },
		{ ZYDIS_MNEMONIC_SETNBE, INSN_SETCC, 7 },
		{ ZYDIS_MNEMONIC_CMOVS, INSN_CMOV, 8 },
		{ ZYDIS_MNEMONIC_SETS, INSN_SETCC, 8 },
		{ ZYDIS_MNEMONIC_CMOVNS, INSN_CMOV, 9 },
		{ ZYDIS_MNEMONIC_SETNS, INSN_SETCC, 9 },
		{ ZYDIS_MNEMONIC_CMOVP, INSN_CMOV, 10 },
		{ ZYDIS_MNEMONIC_SETP, INSN_SETCC, 10 },
		{ ZYDIS_MNEMONIC_CMOVNP, INSN_CMOV, 11 },
		{ ZYDIS_MNEMONIC_SETNP, INSN_SETCC, 11 },
		{ ZYDIS_MNEMONIC_CMOVL, INSN_CMOV, 12 },
		{ ZYDIS_MNEMONIC_SETL, INSN_SETCC, 12 },
		{ ZYDIS_MNEMONIC_CMOVNL, INSN_CMOV, 13 },
		{ ZYDIS_MNEMONIC_SETNL, INSN_SETCC, 13 },
		{ ZYDIS_MNEMONIC_CMOVLE, INSN_CMOV, 14 },
		{ ZYDIS_MNEMONIC_SETLE, INSN_SETCC, 14 },
		{ ZYDIS_MNEMONIC_CMOVNLE, INSN_CMOV, 15 },
		{ ZYDIS_MNEMONIC_SETNLE, INSN_SETCC, 15 },
	};

	/* MOVSD and CMPSD are two instructions each: SSE2 has others of these names. */
	if (z->mnemonic == ZYDIS_MNEMONIC_MOVSD && z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT) {
		insn->op = INSN_MOVS;
		return true;
	}
	if (z->mnemonic == ZYDIS_MNEMONIC_CMPSD && z->opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(map); i++)
		if (map[i].mnemonic == z->mnemonic) {
			insn->op = map[i].op;
			insn->condition = map[i].condition;
			return true;
		}
	return false;
}

static inline bool must_align(ZydisMnemonic mnemonic)
{
	switch (mnemonic) {
	case ZYDIS_MNEMONIC_MOVAPS:
	case ZYDIS_MNEMONIC_MOVAPD:
	case ZYDIS_MNEMONIC_MOVDQA:
	case ZYDIS_MNEMONIC_MOVNTPS:
	case ZYDIS_MNEMONIC_MOVNTPD:
	case ZYDIS_MNEMONIC_MOVNTDQ:
	case ZYDIS_MNEMONIC_MOVNTDQA:
	case ZYDIS_MNEMONIC_CMPXCHG16B:
		return true;
	default:
		return false;
	}
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

static inline void expected_string(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o,
				   struct insn *insn)
{
	insn->mem_size = insn->reg_size = (u8)(o[0].size / 8);
	insn->mem_is_source = insn->op == INSN_LODS || insn->op == INSN_SCAS;
	insn->other = insn->op == INSN_MOVS || insn->op == INSN_CMPS ? OTHER_NONE :
								       OTHER_ACCUMULATOR;
	/* The last one counts. */
	for (unsigned int i = 0; i < z->raw.prefix_count; i++) {
		if (z->raw.prefixes[i].value == 0xf3)
			insn->repeat = REPEAT_EQUAL;
		else if (z->raw.prefixes[i].value == 0xf2)
			insn->repeat = REPEAT_NOT_EQUAL;
	}
	insn->segment = SEG_DS;
	for (unsigned int i = 0; i < z->operand_count; i++)
		if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    ZydisRegisterGetId(o[i].mem.base) == RSI)
			insn->segment = (u8)ZydisRegisterGetId(o[i].mem.segment);
}

/* An operand that is not memory. False: our decoder should reject the instruction. */
static inline bool expected_other(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o,
				  struct insn *insn)
{
	bool shifts = insn->op >= INSN_ROL && insn->op <= INSN_SHRD;

	if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
		if (!insn->other)
			insn->other = OTHER_IMMEDIATE;
		insn->immediate = o->imm.value.u;
		return true;
	}
	if (shifts && o->reg.value == ZYDIS_REGISTER_CL && (insn->op < INSN_SHLD || insn->other)) {
		insn->by_cl = true;
		return true;
	}
	switch (ZydisRegisterGetClass(o->reg.value)) {
	case ZYDIS_REGCLASS_XMM:
	case ZYDIS_REGCLASS_MMX:
		insn->other = ZydisRegisterGetClass(o->reg.value) == ZYDIS_REGCLASS_XMM ?
				      OTHER_XMM :
				      OTHER_MMX;
		insn->reg = (u8)ZydisRegisterGetId(o->reg.value);
		return true;
	default:
		break;
	}
	if (!is_gpr(o->reg.value))
		return false; /* MOV of a segment register */
	if (z->mnemonic == ZYDIS_MNEMONIC_MOVSXD && o->size == 16)
		return false; /* refused: see decode.c */
	insn->other = z->raw.modrm.offset ? OTHER_REGISTER : OTHER_ACCUMULATOR;
	insn->reg_size = (u8)(o->size / 8);
	from_register(o->reg.value, insn);
	return true;
}

/* What our decoder should return. False: it should reject the instruction. */
static inline bool expected(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *o,
			    struct insn *insn)
{
	const ZydisDecodedOperand *mem = NULL;
	unsigned int at = 0;

	*insn = (struct insn){ .base = NO_REGISTER, .index = NO_REGISTER, .scale = 1 };
	if (z->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY || !find_op(z, insn))
		return false;
	insn->length = z->length;
	insn->address_size = z->address_width / 8;
	insn->aligned = must_align(z->mnemonic);
	if (insn_is_string(insn)) {
		expected_string(z, o, insn);
		return true;
	}

	for (unsigned int i = 0; i < z->operand_count_visible; i++)
		if (o[i].type == ZYDIS_OPERAND_TYPE_MEMORY) {
			mem = &o[i];
			at = i;
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
	for (unsigned int i = 0; i < z->operand_count_visible; i++)
		if (&o[i] != mem && !expected_other(z, &o[i], insn))
			return false;

	if (insn->op == INSN_IMUL && z->operand_count_visible > 1)
		insn->op = z->operand_count_visible == 2 ? INSN_IMUL_2 : INSN_IMUL_3;
	if (insn->op >= INSN_MUL && insn->op <= INSN_IDIV)
		insn->other = OTHER_ACCUMULATOR;
	insn->mem_is_source = (at == 1 && insn->op != INSN_XCHG && insn->op != INSN_TEST) ||
			      (insn->op >= INSN_MUL && insn->op <= INSN_IDIV) ||
			      insn->op == INSN_PUSH;
	return true;
}

static inline bool same(const struct insn *a, const struct insn *b)
{
	u64 address = mask(a->address_size), operand = mask(MIN(a->mem_size, 8));

	if (a->op >= INSN_ROL && a->op <= INSN_BTC)
		operand = 0xff;
	return a->op == b->op && a->length == b->length && a->mem_size == b->mem_size &&
	       a->reg_size == b->reg_size && a->address_size == b->address_size &&
	       a->mem_is_source == b->mem_is_source && a->other == b->other && a->reg == b->reg &&
	       a->high_byte == b->high_byte && a->repeat == b->repeat && a->by_cl == b->by_cl &&
	       a->condition == b->condition && a->aligned == b->aligned && a->base == b->base &&
	       a->index == b->index && a->scale == b->scale && a->rip_relative == b->rip_relative &&
	       (a->segment == b->segment || a->op == INSN_STOS || a->op == INSN_SCAS) &&
	       (a->displacement & address) == (b->displacement & address) &&
	       (a->immediate & operand) == (b->immediate & operand);
}

static inline void print_insn(const char *who, int ret, const struct insn *i)
{
	printf("%s: %d op %u length %u mem %u%s reg %u (%u bytes%s) other %u address %u rep %u\n"
	       "	CL %u condition %u aligned %u segment %u base %u index %u * %u rip %u\n"
	       "	displacement %ld immediate 0x%lx\n",
	       who, ret, i->op, i->length, i->mem_size, i->mem_is_source ? " (source)" : "", i->reg,
	       i->reg_size, i->high_byte ? ", high" : "", i->other, i->address_size, i->repeat,
	       i->by_cl, i->condition, i->aligned, i->segment, i->base, i->index, i->scale,
	       i->rip_relative, i->displacement, i->immediate);
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
