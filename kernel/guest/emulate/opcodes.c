/* The table of the instructions that Weir emulates (SDM vol. 2, appendix A). */
#include <kernel/guest/emulate/opcodes.h>

enum group {
	GROUP_1,
	GROUP_1A,
	GROUP_2,
	GROUP_3,
	GROUP_4,
	GROUP_5,
	GROUP_8,
	GROUP_9,
	GROUP_11,
	NR_GROUPS
};

/* The opcodes of the 0Fh map that a prefix divides. */
enum row {
	ROW_10,
	ROW_11,
	ROW_12,
	ROW_13,
	ROW_16,
	ROW_17,
	ROW_28,
	ROW_29,
	ROW_2B,
	ROW_6E,
	ROW_6F,
	ROW_7E,
	ROW_7F,
	ROW_B8,
	ROW_BC,
	ROW_BD,
	ROW_C3,
	ROW_C7,
	ROW_D6,
	ROW_E7,
	ROW_F0,
	ROW_38_2A,
	ROW_38_F0,
	ROW_38_F1,
	NR_ROWS
};

/* clang-format off */

/* Two opcodes, for bytes and for the operand size. */
#define PAIR(byte, op, other, flags)                                                               \
	[byte] = { op, SIZE_1, other, flags },                                                     \
	[(byte) + 1] = { op, SIZE_OPERAND, other, flags }

#define ARITHMETIC(byte, op, lock)                                                                 \
	PAIR(byte, op, OTHER_REGISTER, lock),                                                      \
	PAIR((byte) + 2, op, OTHER_REGISTER, TO_REGISTER)

/* Sixteen opcodes, one for each condition. */
#define CONDITIONS(byte, ...)                                                                      \
	[byte] = __VA_ARGS__, [(byte) + 1] = __VA_ARGS__, [(byte) + 2] = __VA_ARGS__,              \
	[(byte) + 3] = __VA_ARGS__, [(byte) + 4] = __VA_ARGS__, [(byte) + 5] = __VA_ARGS__,        \
	[(byte) + 6] = __VA_ARGS__, [(byte) + 7] = __VA_ARGS__, [(byte) + 8] = __VA_ARGS__,        \
	[(byte) + 9] = __VA_ARGS__, [(byte) + 10] = __VA_ARGS__, [(byte) + 11] = __VA_ARGS__,      \
	[(byte) + 12] = __VA_ARGS__, [(byte) + 13] = __VA_ARGS__, [(byte) + 14] = __VA_ARGS__,     \
	[(byte) + 15] = __VA_ARGS__

#define DIVIDED(row) { row, SIZE_PARENT, OTHER_NONE, BY_PREFIX }

static const struct opcode one_byte[256] = {
	ARITHMETIC(0x00, INSN_ADD, MAY_LOCK),
	ARITHMETIC(0x08, INSN_OR, MAY_LOCK),
	ARITHMETIC(0x10, INSN_ADC, MAY_LOCK),
	ARITHMETIC(0x18, INSN_SBB, MAY_LOCK),
	ARITHMETIC(0x20, INSN_AND, MAY_LOCK),
	ARITHMETIC(0x28, INSN_SUB, MAY_LOCK),
	ARITHMETIC(0x30, INSN_XOR, MAY_LOCK),
	ARITHMETIC(0x38, INSN_CMP, 0),
	/* MOVSXD; ARPL outside 64-bit mode. */
	[0x63] = { INSN_MOVSX, SIZE_4, OTHER_REGISTER, TO_REGISTER | WIDENS | ONLY_64 },
	[0x69] = { INSN_IMUL_3, SIZE_OPERAND, OTHER_REGISTER, TO_REGISTER | IMM_FULL },
	[0x6b] = { INSN_IMUL_3, SIZE_OPERAND, OTHER_REGISTER, TO_REGISTER | IMM_8 },
	[0x80] = { GROUP_1, SIZE_1, OTHER_IMMEDIATE, BY_REG | IMM_8 },
	[0x81] = { GROUP_1, SIZE_OPERAND, OTHER_IMMEDIATE, BY_REG | IMM_FULL },
	[0x82] = { GROUP_1, SIZE_1, OTHER_IMMEDIATE, BY_REG | IMM_8 | NOT_64 },
	[0x83] = { GROUP_1, SIZE_OPERAND, OTHER_IMMEDIATE, BY_REG | IMM_8 },
	PAIR(0x84, INSN_TEST, OTHER_REGISTER, 0),
	PAIR(0x86, INSN_XCHG, OTHER_REGISTER, MAY_LOCK),
	PAIR(0x88, INSN_MOV, OTHER_REGISTER, 0),
	PAIR(0x8a, INSN_MOV, OTHER_REGISTER, TO_REGISTER),
	[0x8f] = { GROUP_1A, SIZE_STACK, OTHER_NONE, BY_REG },
	PAIR(0xa0, INSN_MOV, OTHER_ACCUMULATOR, TO_REGISTER | ABSOLUTE | NO_MODRM),
	PAIR(0xa2, INSN_MOV, OTHER_ACCUMULATOR, ABSOLUTE | NO_MODRM),
	PAIR(0xa4, INSN_MOVS, OTHER_NONE, NO_MODRM),
	PAIR(0xa6, INSN_CMPS, OTHER_NONE, NO_MODRM),
	PAIR(0xaa, INSN_STOS, OTHER_ACCUMULATOR, NO_MODRM),
	PAIR(0xac, INSN_LODS, OTHER_ACCUMULATOR, TO_REGISTER | NO_MODRM),
	PAIR(0xae, INSN_SCAS, OTHER_ACCUMULATOR, TO_REGISTER | NO_MODRM),
	PAIR(0xc0, GROUP_2, OTHER_IMMEDIATE, BY_REG | IMM_8),
	[0xc6] = { GROUP_11, SIZE_1, OTHER_IMMEDIATE, BY_REG | IMM_8 },
	[0xc7] = { GROUP_11, SIZE_OPERAND, OTHER_IMMEDIATE, BY_REG | IMM_FULL },
	PAIR(0xd0, GROUP_2, OTHER_IMMEDIATE, BY_REG | BY_ONE),
	PAIR(0xd2, GROUP_2, OTHER_NONE, BY_REG | BY_CL),
	PAIR(0xf6, GROUP_3, OTHER_NONE, BY_REG),
	[0xfe] = { GROUP_4, SIZE_1, OTHER_NONE, BY_REG },
	[0xff] = { GROUP_5, SIZE_OPERAND, OTHER_NONE, BY_REG },
};

/* A group's `other` and `flags` add to the opcode's. */
static const struct opcode groups[NR_GROUPS][8] = {
	[GROUP_1] = {
		{ INSN_ADD, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_OR, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_ADC, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_SBB, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_AND, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_SUB, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_XOR, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_CMP, SIZE_PARENT, OTHER_NONE, 0 },
	},
	[GROUP_1A] = { { INSN_POP, SIZE_PARENT, OTHER_NONE, 0 } },
	[GROUP_2] = {
		{ INSN_ROL, SIZE_PARENT, OTHER_NONE, 0 },
		{ INSN_ROR, SIZE_PARENT, OTHER_NONE, 0 },
		{ INSN_RCL, SIZE_PARENT, OTHER_NONE, 0 },
		{ INSN_RCR, SIZE_PARENT, OTHER_NONE, 0 },
		{ INSN_SHL, SIZE_PARENT, OTHER_NONE, 0 },
		{ INSN_SHR, SIZE_PARENT, OTHER_NONE, 0 },
		{ INSN_SHL, SIZE_PARENT, OTHER_NONE, 0 },
		{ INSN_SAR, SIZE_PARENT, OTHER_NONE, 0 },
	},
	[GROUP_3] = {
		{ INSN_TEST, SIZE_PARENT, OTHER_IMMEDIATE, IMM_FULL },
		{ INSN_TEST, SIZE_PARENT, OTHER_IMMEDIATE, IMM_FULL },
		{ INSN_NOT, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_NEG, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_MUL, SIZE_PARENT, OTHER_ACCUMULATOR, TO_REGISTER },
		{ INSN_IMUL, SIZE_PARENT, OTHER_ACCUMULATOR, TO_REGISTER },
		{ INSN_DIV, SIZE_PARENT, OTHER_ACCUMULATOR, TO_REGISTER },
		{ INSN_IDIV, SIZE_PARENT, OTHER_ACCUMULATOR, TO_REGISTER },
	},
	[GROUP_4] = {
		{ INSN_INC, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_DEC, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
	},
	[GROUP_5] = {
		{ INSN_INC, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		{ INSN_DEC, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		[6] = { INSN_PUSH, SIZE_STACK, OTHER_NONE, TO_REGISTER },
	},
	[GROUP_8] = {
		[4] = { INSN_BT, SIZE_PARENT, OTHER_NONE, 0 },
		[5] = { INSN_BTS, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		[6] = { INSN_BTR, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
		[7] = { INSN_BTC, SIZE_PARENT, OTHER_NONE, MAY_LOCK },
	},
	[GROUP_9] = { [1] = { INSN_CMPXCHG8B, SIZE_PARENT, OTHER_NONE, MAY_LOCK } },
	[GROUP_11] = { { INSN_MOV, SIZE_PARENT, OTHER_NONE, 0 } },
};

static const struct opcode map_0f[256] = {
	[0x10] = DIVIDED(ROW_10),
	[0x11] = DIVIDED(ROW_11),
	[0x12] = DIVIDED(ROW_12),
	[0x13] = DIVIDED(ROW_13),
	[0x16] = DIVIDED(ROW_16),
	[0x17] = DIVIDED(ROW_17),
	[0x28] = DIVIDED(ROW_28),
	[0x29] = DIVIDED(ROW_29),
	[0x2b] = DIVIDED(ROW_2B),
	CONDITIONS(0x40, { INSN_CMOV, SIZE_OPERAND, OTHER_REGISTER, TO_REGISTER | CONDITION }),
	[0x6e] = DIVIDED(ROW_6E),
	[0x6f] = DIVIDED(ROW_6F),
	[0x7e] = DIVIDED(ROW_7E),
	[0x7f] = DIVIDED(ROW_7F),
	CONDITIONS(0x90, { INSN_SETCC, SIZE_1, OTHER_NONE, CONDITION }),
	[0xa3] = { INSN_BT, SIZE_OPERAND, OTHER_REGISTER, 0 },
	[0xa4] = { INSN_SHLD, SIZE_OPERAND, OTHER_REGISTER, IMM_8 },
	[0xa5] = { INSN_SHLD, SIZE_OPERAND, OTHER_REGISTER, BY_CL },
	[0xab] = { INSN_BTS, SIZE_OPERAND, OTHER_REGISTER, MAY_LOCK },
	[0xac] = { INSN_SHRD, SIZE_OPERAND, OTHER_REGISTER, IMM_8 },
	[0xad] = { INSN_SHRD, SIZE_OPERAND, OTHER_REGISTER, BY_CL },
	[0xaf] = { INSN_IMUL_2, SIZE_OPERAND, OTHER_REGISTER, TO_REGISTER },
	PAIR(0xb0, INSN_CMPXCHG, OTHER_REGISTER, MAY_LOCK),
	[0xb3] = { INSN_BTR, SIZE_OPERAND, OTHER_REGISTER, MAY_LOCK },
	[0xb6] = { INSN_MOVZX, SIZE_1, OTHER_REGISTER, TO_REGISTER | WIDENS },
	[0xb7] = { INSN_MOVZX, SIZE_2, OTHER_REGISTER, TO_REGISTER | WIDENS },
	[0xb8] = DIVIDED(ROW_B8),
	[0xba] = { GROUP_8, SIZE_OPERAND, OTHER_IMMEDIATE, BY_REG | IMM_8 },
	[0xbb] = { INSN_BTC, SIZE_OPERAND, OTHER_REGISTER, MAY_LOCK },
	[0xbc] = DIVIDED(ROW_BC),
	[0xbd] = DIVIDED(ROW_BD),
	[0xbe] = { INSN_MOVSX, SIZE_1, OTHER_REGISTER, TO_REGISTER | WIDENS },
	[0xbf] = { INSN_MOVSX, SIZE_2, OTHER_REGISTER, TO_REGISTER | WIDENS },
	PAIR(0xc0, INSN_XADD, OTHER_REGISTER, MAY_LOCK),
	[0xc3] = DIVIDED(ROW_C3),
	[0xc7] = DIVIDED(ROW_C7),
	[0xd6] = DIVIDED(ROW_D6),
	[0xe7] = DIVIDED(ROW_E7),
	[0xf0] = DIVIDED(ROW_F0),
};

#define LOAD(size, other) { INSN_MOV, size, OTHER_##other, TO_REGISTER }
#define STORE(size, other) { INSN_MOV, size, OTHER_##other, 0 }
#define LOAD_ALIGNED { INSN_MOV, SIZE_16, OTHER_XMM, TO_REGISTER | MUST_ALIGN }
#define STORE_ALIGNED { INSN_MOV, SIZE_16, OTHER_XMM, MUST_ALIGN }
#define LOAD_HALF(op) { op, SIZE_8, OTHER_XMM, TO_REGISTER }
#define STORE_HALF(op) { op, SIZE_8, OTHER_XMM, 0 }
#define COUNT(op) { op, SIZE_OPERAND, OTHER_REGISTER, TO_REGISTER }
#define SWAP_LOAD { INSN_MOVBE, SIZE_OPERAND, OTHER_REGISTER, TO_REGISTER }
#define SWAP_STORE { INSN_MOVBE, SIZE_OPERAND, OTHER_REGISTER, 0 }
#define EXCHANGE_PAIR { GROUP_9, SIZE_PAIR, OTHER_NONE, BY_REG }
#define NOTHING { 0 }

/* Columns: no prefix, 66h, F3h, F2h. */
static const struct opcode rows[NR_ROWS][NR_MANDATORY] = {
	/* MOVUPS, MOVUPD, MOVSS, MOVSD */
	[ROW_10] = { LOAD(SIZE_16, XMM), LOAD(SIZE_16, XMM), LOAD(SIZE_4, XMM), LOAD(SIZE_8, XMM) },
	[ROW_11] = { STORE(SIZE_16, XMM), STORE(SIZE_16, XMM), STORE(SIZE_4, XMM),
		     STORE(SIZE_8, XMM) },
	/* MOVLPS, MOVLPD, MOVHPS, MOVHPD */
	[ROW_12] = { LOAD_HALF(INSN_MOVLPS), LOAD_HALF(INSN_MOVLPS) },
	[ROW_13] = { STORE_HALF(INSN_MOVLPS), STORE_HALF(INSN_MOVLPS) },
	[ROW_16] = { LOAD_HALF(INSN_MOVHPS), LOAD_HALF(INSN_MOVHPS) },
	[ROW_17] = { STORE_HALF(INSN_MOVHPS), STORE_HALF(INSN_MOVHPS) },
	/* MOVAPS, MOVAPD; MOVNTPS, MOVNTPD */
	[ROW_28] = { LOAD_ALIGNED, LOAD_ALIGNED },
	[ROW_29] = { STORE_ALIGNED, STORE_ALIGNED },
	[ROW_2B] = { STORE_ALIGNED, STORE_ALIGNED },
	/* MOVD and MOVQ; MOVQ, MOVDQA, MOVDQU */
	[ROW_6E] = { LOAD(SIZE_WIDE, MMX), LOAD(SIZE_WIDE, XMM) },
	[ROW_6F] = { LOAD(SIZE_8, MMX), LOAD_ALIGNED, LOAD(SIZE_16, XMM) },
	[ROW_7E] = { STORE(SIZE_WIDE, MMX), STORE(SIZE_WIDE, XMM), LOAD(SIZE_8, XMM) },
	[ROW_7F] = { STORE(SIZE_8, MMX), STORE_ALIGNED, STORE(SIZE_16, XMM) },
	[ROW_B8] = { NOTHING, NOTHING, COUNT(INSN_POPCNT) },
	[ROW_BC] = { COUNT(INSN_BSF), COUNT(INSN_BSF), COUNT(INSN_TZCNT), COUNT(INSN_BSF) },
	[ROW_BD] = { COUNT(INSN_BSR), COUNT(INSN_BSR), COUNT(INSN_LZCNT), COUNT(INSN_BSR) },
	[ROW_C3] = { STORE(SIZE_WIDE, REGISTER) }, /* MOVNTI */
	[ROW_C7] = { EXCHANGE_PAIR, EXCHANGE_PAIR, EXCHANGE_PAIR, EXCHANGE_PAIR },
	[ROW_D6] = { NOTHING, STORE(SIZE_8, XMM) }, /* MOVQ */
	[ROW_E7] = { STORE(SIZE_8, MMX), STORE_ALIGNED }, /* MOVNTQ, MOVNTDQ */
	[ROW_F0] = { NOTHING, NOTHING, NOTHING, LOAD(SIZE_16, XMM) }, /* LDDQU */
	[ROW_38_2A] = { NOTHING, LOAD_ALIGNED }, /* MOVNTDQA */
	/* With F2h: CRC32. */
	[ROW_38_F0] = { SWAP_LOAD, SWAP_LOAD },
	[ROW_38_F1] = { SWAP_STORE, SWAP_STORE },
};

static const struct opcode map_0f38[256] = {
	[0x2a] = DIVIDED(ROW_38_2A),
	[0xf0] = DIVIDED(ROW_38_F0),
	[0xf1] = DIVIDED(ROW_38_F1),
};

/* clang-format on */

bool opcode_find(enum opcode_map map, u8 byte, enum mandatory prefix, u8 modrm, struct opcode *out)
{
	const struct opcode *table = map == MAP_ONE_BYTE ? one_byte :
				     map == MAP_0F	 ? map_0f :
							   map_0f38;
	const struct opcode *in_group;

	*out = table[byte];
	if (out->flags & BY_PREFIX)
		*out = rows[out->op][prefix];
	if (out->flags & BY_REG) {
		in_group = &groups[out->op][modrm >> 3 & 7];
		out->op = in_group->op;
		if (in_group->size != SIZE_PARENT)
			out->size = in_group->size;
		if (in_group->other)
			out->other = in_group->other;
		/* Opcode F6h has an immediate of its own size, one byte. */
		out->flags |= in_group->flags;
	}
	return out->size;
}
