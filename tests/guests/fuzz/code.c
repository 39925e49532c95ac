/* Generates and runs random machine code. */
#include <tests/guests/fuzz/fuzz.h>

#define SIZE 128u
#define LONGEST 15u

/* One buffer per vCPU, and a shared one, in which an instruction may change between its execution
 * and its emulation. */
static u8 buffers[MAX_CPUS + 1][SIZE] __aligned(PAGE_SIZE);

void run_with(const u64 reg[16], const u64 frame[5]);

u64 code_base_16(void)
{
	return (u64)buffers;
}

struct code code_begin(struct cpu *c)
{
	return (struct code){ buffers[one_in(c, 64) ? MAX_CPUS : c->id], 0 };
}

void code_byte(struct code *code, u64 byte)
{
	if (code->nr < SIZE - LONGEST)
		code->bytes[code->nr++] = (u8)byte;
}

/* Fill the rest with INT3, which ends the step. */
void code_end(struct code *code)
{
	for (u32 i = code->nr; i < SIZE; i++)
		code->bytes[i] = 0xcc;
}

void code_run(struct cpu *c, const struct code *code, const u64 reg[16], u16 selector)
{
	bool user = selector & 3;
	u64 flags = (random64(c) & 0xcd5) | 2; /* arithmetic flags, TF, DF */
	u64 rip = (u64)code->bytes - (selector == SELECTOR_CODE_16 ? code_base_16() : 0);
	const u64 frame[5] = { rip, selector, flags | (one_in(c, 2) ? 0x200 : 0),
			       (u64)c->stack + STACK, user ? SELECTOR_USER_DATA : SELECTOR_DATA };

	if (!one_in(c, 16))
		((u64 *)frame)[2] &= ~0x100UL;
	run_with(reg, frame);
}

static void prefixes(struct cpu *c, struct code *code)
{
	static const u8 legacy[] = { 0x66, 0x67, 0xf0, 0xf2, 0xf3, 0x26,
				     0x2e, 0x36, 0x3e, 0x64, 0x65 };

	while (one_in(c, 3))
		code_byte(code, legacy[random_below(c, sizeof(legacy))]);
	if (one_in(c, 2))
		code_byte(code, 0x40 | random_below(c, 16));
}

/* ModRM with a memory operand near a register, mostly within a page of it. */
static void operand(struct cpu *c, struct code *code, u64 reg)
{
	u64 mod = random_below(c, 3), rm = random_below(c, 8);

	code_byte(code, mod << 6 | reg << 3 | rm);
	if (rm == 4)
		code_byte(code, random64(c));
	if (mod == 1)
		code_byte(code, random64(c));
	if (mod == 2) {
		code_byte(code, random64(c));
		code_byte(code, random64(c) & 15);
		code_byte(code, 0);
		code_byte(code, 0);
	}
}

/* A value for ModRM.reg. For some opcodes it selects the operation, and not all are emulated. */
static u64 group_reg(struct cpu *c, u8 opcode)
{
	static const u8 of_f6[] = { 0, 2, 3 };

	switch (opcode) {
	case 0xc6:
	case 0xc7:
		return 0;
	case 0xf6:
	case 0xf7:
		return of_f6[random_below(c, 3)];
	case 0xfe:
	case 0xff:
		return random_below(c, 2);
	default:
		return random_below(c, 8);
	}
}

void code_memory_instruction(struct cpu *c, struct code *code, bool strange)
{
	/* Emulated instructions: moves, arithmetic, exchanges, strings; and after 0f, MOVZX and
	 * MOVSX. */
	static const u8 known[] = { 0x00, 0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x11, 0x13,
				    0x19, 0x21, 0x23, 0x29, 0x31, 0x33, 0x39, 0x3b, 0x84,
				    0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b, 0x80, 0x81,
				    0x83, 0xc6, 0xc7, 0xf6, 0xf7, 0xfe, 0xff };
	static const u8 strings[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad };
	static const u8 known_0f[] = { 0xb6, 0xb7, 0xbe, 0xbf };
	/* CMPXCHG, XADD, bit tests, SSE moves, FXSAVE, CMPXCHG16B, MOVBE. */
	static const u8 strange_0f[] = { 0xb0, 0xb1, 0xc0, 0xc1, 0xa3, 0xab, 0xb3, 0xbb, 0xba,
					 0x10, 0x11, 0x28, 0x29, 0x6f, 0x7f, 0xae, 0xc7, 0x38 };

	u8 opcode = known[random_below(c, sizeof(known))];
	u64 reg = random_below(c, 8);

	prefixes(c, code);
	switch (random_below(c, strange ? 5 : 3)) {
	case 0:
		code_byte(code, opcode);
		reg = group_reg(c, opcode);
		break;
	case 1:
		code_byte(code, strings[random_below(c, sizeof(strings))]);
		return;
	case 2:
		code_byte(code, 0x0f);
		code_byte(code, known_0f[random_below(c, sizeof(known_0f))]);
		break;
	case 3:
		code_byte(code, 0x0f);
		code_byte(code, strange_0f[random_below(c, sizeof(strange_0f))]);
		break;
	default:
		code_byte(code, random64(c));
	}
	operand(c, code, reg);
	/* An immediate, if the instruction takes one; otherwise NOPs. */
	for (u32 i = 0; i < 4; i++)
		code_byte(code, 0x90);
}
