/* Random instructions from the emulator's own table of opcodes: each operation is as likely as any
 * other, in any of its forms, with random prefixes. */
#pragma once

#include <tests/unit/test.h>

#include <kernel/guest/emulate/opcodes.h>

struct known_opcode {
	u8 map, byte, prefix, reg;
};

struct known_op {
	unsigned int nr;
	struct known_opcode *opcode;
};

static inline const struct known_op *known_ops(void)
{
	static struct known_op ops[NR_INSN_OPS];
	static struct known_opcode table[3 * 256 * NR_MANDATORY * 8];
	unsigned int at = 0;

	if (ops[0].nr)
		return ops;
	for (unsigned int op = 0; op < NR_INSN_OPS; op++) {
		ops[op].opcode = &table[at];
		for (unsigned int i = 0; i < ARRAY_SIZE(table); i++) {
			struct known_opcode k = { (u8)(i / (256 * NR_MANDATORY * 8)), (u8)i,
						  i / 256 % NR_MANDATORY,
						  i / 256 / NR_MANDATORY % 8 };
			struct opcode o;

			if (opcode_find(k.map, k.byte, k.prefix, (u8)(k.reg << 3), &o) &&
			    o.op == op)
				table[at++] = k;
		}
		ops[op].nr = (unsigned int)(&table[at] - ops[op].opcode);
		assert_true(ops[op].nr);
	}
	return ops;
}

static inline unsigned int random_below(unsigned int n)
{
	return (unsigned int)rand() % n;
}

/* Fill in the first bytes, up to and with ModRM; mod is not 3. Returns the offset of the ModRM
 * byte, if there is one. The bytes that follow are left as they are. */
static inline unsigned int random_insn(u8 bytes[16], bool long_mode)
{
	static const u8 prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65,
				       0x66, 0x67, 0xf0, 0xf2, 0xf3 };
	static const u8 mandatory[] = { 0, 0x66, 0xf3, 0xf2 };
	const struct known_op *op = &known_ops()[random_below(NR_INSN_OPS)];
	const struct known_opcode *k = &op->opcode[random_below(op->nr)];
	unsigned int at = 0;

	while (random_below(3) == 0 && at < 5)
		bytes[at++] = prefixes[random_below(ARRAY_SIZE(prefixes))];
	if (k->prefix)
		bytes[at++] = mandatory[k->prefix];
	if (long_mode && random_below(2))
		bytes[at++] = (u8)(0x40 | random_below(16));
	if (k->map)
		bytes[at++] = 0x0f;
	if (k->map == MAP_0F38)
		bytes[at++] = 0x38;
	bytes[at++] = k->byte;
	bytes[at] = (u8)(random_below(3) << 6 | k->reg << 3 | random_below(8));
	return at;
}
