/* The decoder against Zydis, over random instructions in all three modes: both must accept the same
 * instructions, with the same length and the same operands.
 * sources: kernel/guest/emulate/decode.c
 * libs: -lZydis
 */
#include <tests/unit/decode_check.h>

#define ROUNDS 400000

static void random_bytes(u8 bytes[16])
{
	static const u8 prefixes[] = { 0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67,
				       0xf0, 0xf2, 0xf3, 0x40, 0x48, 0x41, 0x44, 0x4f };
	unsigned int at = 0;

	for (unsigned int i = 0; i < 16; i++)
		bytes[i] = (u8)(rand() >> 8);
	while (at < 12 && rand() % 2)
		bytes[at++] = prefixes[(unsigned int)rand() % ARRAY_SIZE(prefixes)];
	if (rand() % 8 == 0) {
		static const u8 second[] = { 0xb6, 0xb7, 0xbe, 0xbf, 0xc3 };

		bytes[at++] = 0x0f;
		bytes[at] = second[(unsigned int)rand() % ARRAY_SIZE(second)];
	}
}

static void compare_mode(unsigned int code_bits)
{
	unsigned int seen[INSN_LODS + 1] = { 0 };
	u8 bytes[16];
	struct insn ours;

	for (unsigned int n = 0; n < ROUNDS; n++) {
		random_bytes(bytes);
		if (check_decode(bytes, code_bits, &ours))
			seen[ours.op]++;
	}
	for (unsigned int op = 0; op <= INSN_LODS; op++)
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
