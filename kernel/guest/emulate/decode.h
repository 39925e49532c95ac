/* A decoder for the x86 instructions that read or write memory in ways that device registers are
 * accessed: enough to carry out an access to guest-physical memory where no RAM is. SDM vol. 2,
 * chapter 2 and appendix A.
 *
 * Only forms with a memory operand are known, since no other can have caused the exit.
 */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

#define INSN_MAX_LENGTH 15

enum insn_op {
	/* The first eight as in ModRM.reg of opcodes 80h to 83h, and in bits 5:3 of opcodes 00h to
	 * 3Bh. */
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
	INSN_MOV,
	INSN_MOVZX,
	INSN_MOVSX, /* and MOVSXD */
	INSN_XCHG,
	INSN_MOVS, /* DS:rSI to ES:rDI */
	INSN_STOS, /* rAX to ES:rDI */
	INSN_LODS, /* DS:rSI to rAX */
};

/* The operand besides memory. */
enum insn_other { OTHER_NONE, OTHER_REGISTER, OTHER_IMMEDIATE };

#define NO_REGISTER 0xff

struct insn {
	enum insn_op op;
	u8 length;
	u8 mem_size; /* bytes accessed in memory: 1, 2, 4, 8 */
	u8 reg_size; /* of the register operand; larger than mem_size for MOVZX and MOVSX */
	u8 address_size; /* 2, 4, 8 */
	/* Memory to register; else memory is written, or only read by CMP and TEST. */
	bool mem_is_source;
	enum insn_other other;
	u8 reg; /* enum guest_register */
	bool high_byte; /* AH, CH, DH, BH: bits 15:8 of `reg` */
	bool rep; /* F2h or F3h before a string instruction */
	u64 immediate; /* sign-extended */

	/* The memory operand, for all but MOVS, STOS and LODS: base + index * scale + displacement,
	 * cut to address_size. */
	u8 base, index; /* enum guest_register, or NO_REGISTER */
	u8 scale; /* 1, 2, 4, 8 */
	bool rip_relative; /* base is the address of the next instruction */
	s64 displacement;
	u8 segment; /* enum guest_segment; of the source for MOVS and LODS */
};

/* Decode the instruction that bytes[0 .. nr) begin with; code_bits is 16, 32 or 64. -EINVAL: it is
 * none of those above; -E2BIG: it goes on behind the last byte given. Pure. */
int __must_check decode_insn(const u8 *bytes, unsigned int nr, unsigned int code_bits,
			     struct insn *insn);
