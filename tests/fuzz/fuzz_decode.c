/* The decoder of instructions that access device registers, against Zydis, in all three modes.
 * Bytes beyond those given must not matter, nor be read.
 *
 * sources: kernel/guest/emulate/decode.c kernel/guest/emulate/opcodes.c
 * libs: -lZydis
 */
#include <tests/fuzz/fuzz.h>
#include <tests/unit/decode_check.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	u8 bytes[INSN_MAX_LENGTH] = { 0 };

	if (size)
		memcpy(bytes, data, MIN(size, sizeof(bytes)));
	for (unsigned int bits = 16; bits <= 64; bits *= 2) {
		unsigned int nr = (unsigned int)MIN(size, sizeof(bytes));
		u8 *cut = exact_copy(bytes, nr);
		struct insn insn, short_of;
		bool known = check_decode(bytes, bits, &insn);
		int ret = decode_insn(cut, nr, bits, &short_of);

		if (known && insn.length <= nr) {
			assert_int_equal(ret, 0);
			assert_memory_equal(&short_of, &insn, sizeof(insn));
		} else if (known) {
			assert_int_equal(ret, -E2BIG);
		} else {
			assert_true(ret == -EINVAL || ret == -E2BIG);
		}
		free(cut);
	}
	return 0;
}
