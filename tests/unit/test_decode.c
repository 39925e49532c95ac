/* The decoder against Zydis, over random instructions in all three modes: both must accept the same
 * instructions, with the same length and the same operands.
 * sources: kernel/guest/emulate/decode.c kernel/guest/emulate/opcodes.c
 * libs: -lZydis
 */
#include <tests/unit/decode_check.h>
#include <tests/unit/insn_random.h>

#define ROUNDS 400000

/* Half of them are instructions that the table has, if nothing in their prefixes is wrong. */
static void random_bytes(u8 bytes[16], bool long_mode)
{
	static const u8 prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67,
				       0xf0, 0xf2, 0xf3, 0x40, 0x48, 0x41, 0x44, 0x4f };
	unsigned int at = 0;

	for (unsigned int i = 0; i < 16; i++)
		bytes[i] = (u8)(rand() >> 8);
	if (rand() % 2) {
		random_insn(bytes, long_mode);
		return;
	}
	while (at < 12 && rand() % 2)
		bytes[at++] = prefixes[(unsigned int)rand() % ARRAY_SIZE(prefixes)];
	if (rand() % 2)
		bytes[at++] = 0x0f;
	if (rand() % 8 == 0)
		bytes[at++] = 0x38;
}

static void compare_mode(unsigned int code_bits)
{
	unsigned int seen[NR_INSN_OPS] = { 0 };
	u8 bytes[16];
	struct insn ours;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		random_bytes(bytes, code_bits == 64);
		if (check_decode(bytes, code_bits, &ours))
			seen[ours.op]++;
	}
	for (unsigned int op = 0; op < NR_INSN_OPS; op++)
		assert_true(seen[op] > 100);
}

static void test_64(void **state)
{
	(void)state;
	compare_mode(64);
}

static void test_32(void **state)
{
	(void)state;
	compare_mode(32);
}

static void test_16(void **state)
{
	(void)state;
	compare_mode(16);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_64),
		cmocka_unit_test(test_32),
		cmocka_unit_test(test_16),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
