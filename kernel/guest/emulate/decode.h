/* A decoder for the x86 instructions that software uses to access device registers. Weir emulates
 * these when they access guest-physical memory where there is no RAM. SDM vol. 2, chapter 2; the
 * table of the opcodes is in kernel/guest/emulate/opcodes.c.
 *
 * Only forms with a memory operand are decoded, since no other can have caused the exit.
 */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

#define INSN_MAX_LENGTH 15

/* Bytes, since struct insn is cleared for each instruction. */
enum __packed insn_op {
	/* The first eight are numbered as in ModRM.reg of opcodes 80h to 83h. */
	INSN_ADD,
	INSN_OR,
	INSN_ADC,
	INSN_SBB,
	INSN_AND,
	INSN_SUB,
	INSN_XOR,
	INSN_CMP,
	INSN_TEST,
	INSN_NOT,
	INSN_NEG,
	INSN_INC,
	INSN_DEC,
	INSN_ROL, /* the count: an immediate, or CL */
	INSN_ROR,
	INSN_RCL,
	INSN_RCR,
	INSN_SHL,
	INSN_SHR,
	INSN_SAR,
	INSN_SHLD, /* likewise; bits come from the register */
	INSN_SHRD,
	INSN_BT, /* a bit offset in a register reaches beyond the operand */
	INSN_BTS,
	INSN_BTR,
	INSN_BTC,
	INSN_BSF,
	INSN_BSR,
	INSN_TZCNT,
	INSN_LZCNT,
	INSN_POPCNT,
	INSN_MUL, /* by rAX, to rDX:rAX */
	INSN_IMUL,
	INSN_DIV,
	INSN_IDIV,
	INSN_IMUL_2, /* register times memory */
	INSN_IMUL_3, /* memory times immediate */
	INSN_MOV,
	INSN_MOVZX,
	INSN_MOVSX, /* and MOVSXD */
	INSN_MOVBE,
	INSN_MOVLPS, /* bits 63:0 of an XMM register; the others stay */
	INSN_MOVHPS, /* bits 127:64 */
	INSN_CMOV,
	INSN_SETCC,
	INSN_XCHG,
	INSN_XADD,
	INSN_CMPXCHG,
	INSN_CMPXCHG8B, /* and CMPXCHG16B */
	INSN_PUSH,
	INSN_POP,
	INSN_MOVS, /* DS:rSI to ES:rDI */
	INSN_STOS, /* rAX to ES:rDI */
	INSN_LODS, /* DS:rSI to rAX */
	INSN_CMPS, /* DS:rSI with ES:rDI */
	INSN_SCAS, /* rAX with ES:rDI */
	NR_INSN_OPS
};

/* The other operand, besides memory. */
enum __packed insn_other {
	OTHER_NONE,
	OTHER_REGISTER,
	OTHER_ACCUMULATOR, /* rAX; `reg` says so */
	OTHER_IMMEDIATE,
	OTHER_XMM,
	OTHER_MMX
};

enum __packed insn_repeat { REPEAT_NONE, REPEAT_EQUAL, REPEAT_NOT_EQUAL }; /* REP is REPEAT_EQUAL */

#define NO_REGISTER 0xff

struct insn {
	enum insn_op op;
	u8 length;
	u8 mem_size; /* bytes accessed in memory: 1, 2, 4, 8 or 16 */
	u8 reg_size; /* bytes of the register operand; larger than mem_size for MOVZX and MOVSX */
	u8 address_size; /* bytes: 2, 4 or 8 */
	/* Memory is the source, not the destination. False too if it is read and both are kept. */
	bool mem_is_source;
	bool aligned; /* #GP if the address is not a multiple of mem_size */
	enum insn_other other;
	u8 reg; /* enum guest_register, or the number of an XMM or MMX register */
	bool high_byte; /* AH, CH, DH, BH: bits 15:8 of `reg` */
	enum insn_repeat repeat; /* of a string instruction */
	u8 condition; /* of CMOV and SETCC (SDM vol. 1, appendix B) */
	/* An immediate, sign-extended; or the count of a shift, or its count is in CL. */
	bool by_cl;
	u64 immediate;

	/* The memory operand, except of string instructions: base + index * scale + displacement,
	 * truncated to address_size. */
	u8 base, index; /* enum guest_register, or NO_REGISTER */
	u8 scale; /* 1, 2, 4 or 8 */
	bool rip_relative; /* the base is the address of the next instruction */
	s64 displacement;
	u8 segment; /* enum guest_segment; of string instructions, that of DS:rSI */
};

/* True for MOVS, STOS, LODS, CMPS and SCAS. */
static inline bool insn_is_string(const struct insn *insn)
{
	return insn->op >= INSN_MOVS;
}

/* Decode the instruction at the start of bytes[0] to bytes[nr - 1]. code_bits is 16, 32 or 64.
 * -EINVAL: it is invalid, or none of the above; -E2BIG: it continues beyond the last byte given, or
 * is longer than 15 bytes. Pure. */
int __must_check decode_insn(const u8 *bytes, unsigned int nr, unsigned int code_bits,
			     struct insn *insn);
