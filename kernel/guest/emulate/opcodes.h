/* The table of the instructions that Weir emulates: opcodes, and the forms of their operands (SDM
 * vol. 2, appendix A). */
#pragma once

#include <kernel/guest/emulate/decode.h>

enum opcode_map { MAP_ONE_BYTE, MAP_0F, MAP_0F38 };

/* The prefix that selects one of several instructions with the same opcode. */
enum mandatory { MANDATORY_NONE, MANDATORY_66, MANDATORY_F3, MANDATORY_F2, NR_MANDATORY };

/* The size of the memory operand. */
enum opcode_size {
	SIZE_NONE, /* not an instruction that Weir knows */
	SIZE_1,
	SIZE_2,
	SIZE_4,
	SIZE_8,
	SIZE_16,
	SIZE_OPERAND, /* the operand size: 2, 4 or 8 */
	SIZE_STACK, /* the same, but in 64-bit mode 2 or 8 */
	SIZE_WIDE, /* 4, or 8 with REX.W */
	SIZE_PAIR, /* 8, or 16 with REX.W */
	SIZE_PARENT, /* in a group: that of the opcode */
};

#define TO_REGISTER BIT(0) /* memory is the source */
#define IMM_8 BIT(1) /* followed by an immediate byte, which is sign-extended */
#define IMM_FULL BIT(2) /* followed by an immediate of the operand size, at most 4 bytes */
#define BY_ONE BIT(3) /* the immediate is 1 */
#define BY_CL BIT(4) /* the count is in CL */
#define WIDENS BIT(5) /* the register has the operand size, not that of memory */
#define MAY_LOCK BIT(6)
#define MUST_ALIGN BIT(7) /* #GP if the address is not a multiple of the size */
#define ONLY_64 BIT(8)
#define NOT_64 BIT(9)
#define NO_MODRM BIT(10)
#define ABSOLUTE BIT(11) /* the address follows the opcode, as wide as the address size */
#define CONDITION BIT(12) /* bits 3:0 of the opcode are a condition */
#define BY_REG BIT(13) /* `op` is a group: ModRM.reg selects the instruction */
#define BY_PREFIX BIT(14) /* `op` is a row: the mandatory prefix selects the instruction */

struct opcode {
	u8 op; /* enum insn_op */
	u8 size; /* enum opcode_size */
	u8 other; /* enum insn_other */
	u16 flags;
};

/* Find an opcode; `modrm` is the byte that follows it. False: Weir does not know it. Pure. */
bool opcode_find(enum opcode_map map, u8 byte, enum mandatory prefix, u8 modrm, struct opcode *out);
