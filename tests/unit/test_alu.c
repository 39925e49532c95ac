/* alu() against the processor that runs the test.
 * sources: kernel/guest/emulate/alu.c
 */
#include <tests/unit/test.h>

#include <kernel/guest/emulate/alu.h>

#define STATUS 0x8d5UL
#define AF 0x10UL

#define RUN(insn, type)                                                                            \
	({                                                                                         \
		type _a = (type)a;                                                                 \
		__asm__ volatile("pushq %1; popfq; " insn "; pushfq; popq %1"                      \
				 : "+r"(_a), "+r"(flags)                                           \
				 : "r"((type)b)                                                    \
				 : "cc", "memory");                                                \
		(u64) _a;                                                                          \
	})
#define BY_SIZE(name, operands)                                                                    \
	(size == 1 ? RUN(name "b " operands, u8) :                                                 \
	 size == 2 ? RUN(name "w " operands, u16) :                                                \
	 size == 4 ? RUN(name "l " operands, u32) :                                                \
		     RUN(name "q " operands, u64))

/* CMP and TEST do not change their operands: their results are those of SUB and AND. */
static u64 processor(enum insn_op op, unsigned int size, u64 a, u64 b, u64 *rflags)
{
	u64 flags = *rflags, r = 0;

	switch (op) {
	case INSN_ADD:
		r = BY_SIZE("add", "%2, %0");
		break;
	case INSN_OR:
		r = BY_SIZE("or", "%2, %0");
		break;
	case INSN_ADC:
		r = BY_SIZE("adc", "%2, %0");
		break;
	case INSN_SBB:
		r = BY_SIZE("sbb", "%2, %0");
		break;
	case INSN_AND:
	case INSN_TEST:
		r = BY_SIZE("and", "%2, %0");
		break;
	case INSN_SUB:
	case INSN_CMP:
		r = BY_SIZE("sub", "%2, %0");
		break;
	case INSN_XOR:
		r = BY_SIZE("xor", "%2, %0");
		break;
	case INSN_NOT:
		r = BY_SIZE("not", "%0");
		break;
	case INSN_NEG:
		r = BY_SIZE("neg", "%0");
		break;
	case INSN_INC:
		r = BY_SIZE("inc", "%0");
		break;
	case INSN_DEC:
		r = BY_SIZE("dec", "%0");
		break;
	default:
		fail();
	}
	*rflags = flags;
	return r;
}

static u64 operand(void)
{
	static const u64 edges[] = { 0,		 1,	    0x7f,      0x80,	   0xff,
				     0x7fff,	 0x8000,    0xffff,    0x7fffffff, 0x80000000,
				     0xffffffff, 1UL << 63, ~0UL >> 1, ~0UL };
	u64 random = (u64)rand() << 62 ^ (u64)rand() << 31 ^ (u64)rand();

	return rand() % 3 ? random : edges[(unsigned int)rand() % ARRAY_SIZE(edges)];
}

static void test_against_processor(void **state)
{
	(void)state;
	for (unsigned int n = 0; n < 1000000; n++) {
		enum insn_op op = (unsigned int)rand() % (INSN_DEC + 1);
		unsigned int size = 1u << rand() % 4;
		u64 a = operand(), b = operand(), start = 0x202 | ((u64)rand() & STATUS);
		u64 ours = start, theirs = start, mask = STATUS, r, expect;

		/* AF is undefined after logical operations. */
		if (op == INSN_OR || op == INSN_AND || op == INSN_XOR || op == INSN_TEST)
			mask &= ~AF;
		r = alu(op, size, a, b, &ours);
		expect = processor(op, size, a, b, &theirs);
		if (r != expect || (ours & mask) != (theirs & mask) || (ours & ~STATUS) != 0x202) {
			printf("op %u size %u: 0x%lx, 0x%lx: 0x%lx flags 0x%lx, "
			       "processor 0x%lx flags 0x%lx\n",
			       op, size, a, b, r, ours, expect, theirs);
			fail();
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_against_processor),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
