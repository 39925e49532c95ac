/* A decoder for the x86 instructions that software uses to access device registers. Weir emulates
 * these when they access guest-physical memory where there is no RAM. SDM vol. 2, chapter 2 and
 * appendix A.
 *
 * Only forms with a memory operand are decoded, since no other can have caused the exit.
 */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

#define INSN_MAX_LENGTH 15

enum insn_op {
	/* The first eight are numbered as in ModRM.reg of opcodes 80h to 83h and in bits 5:3 of
	 * opcodes 00h to 3Bh. */
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

/* The other operand, besides memory. */
enum insn_other { OTHER_NONE, OTHER_REGISTER, OTHER_IMMEDIATE };

#define NO_REGISTER 0xff

struct insn {
	enum insn_op op;
	u8 length;
	u8 mem_size; /* bytes accessed in memory: 1, 2, 4 or 8 */
	u8 reg_size; /* bytes of the register operand; larger than mem_size for MOVZX and MOVSX */
	u8 address_size; /* bytes: 2, 4 or 8 */
	/* True: memory to register. False: memory is written, or only read by CMP and TEST. */
	bool mem_is_source;
	enum insn_other other;
	u8 reg; /* enum guest_register */
	bool high_byte; /* AH, CH, DH, BH: bits 15:8 of `reg` */
	bool rep; /* F2h or F3h before a string instruction */
	u64 immediate; /* sign-extended */

	/* The memory operand, except for MOVS, STOS and LODS: base + index * scale + displacement,
	 * truncated to address_size. */
	u8 base, index; /* enum guest_register, or NO_REGISTER */
	u8 scale; /* 1, 2, 4 or 8 */
	bool rip_relative; /* the base is the address of the next instruction */
	s64 displacement;
	u8 segment; /* enum guest_segment; for MOVS and LODS, that of the source */
};

/* Decode the instruction at the start of bytes[0] to bytes[nr - 1]. code_bits is 16, 32 or 64.
 * -EINVAL: it is invalid, or none of the above; -E2BIG: it continues beyond the last byte given.
 * Pure. */
int __must_check decode_insn(const u8 *bytes, unsigned int nr, unsigned int code_bits,
			     struct insn *insn);
