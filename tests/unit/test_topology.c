/* sources: */
/* Which CPUs are threads of one core, by what different processors say. */
#include <tests/unit/test.h>

#include <kernel/x86/cpuid.h>

/* What the processor answers; leaves that are not named read as 0. */
static const struct answer {
	u32 leaf;
	struct cpuid r;
} *answers;

static struct cpuid test_cpuid(u32 leaf, u32 subleaf)
{
	assert_int_equal(subleaf, 0);
	for (const struct answer *a = answers; a->leaf != ~0u; a++)
		if (a->leaf == leaf)
			return a->r;
	return (struct cpuid){ 0, 0, 0, 0 };
}

#define cpuid(leaf, subleaf) test_cpuid(leaf, subleaf)
#include <kernel/core/topology.c>
#undef cpuid

static const struct answer intel[] = {
	{ 0, { .eax = 0x16 } },
	{ 1, { .edx = CPUID1_EDX_HTT } },
	{ 0xb, { .eax = 1, .ebx = 2, .ecx = CPUIDB_LEVEL_THREAD << 8 } },
	{ ~0u, { 0 } },
};
static const struct answer zen[] = {
	{ 0, { .eax = 0xd } },
	{ 1, { .edx = CPUID1_EDX_HTT } },
	{ CPUID_EXTENDED, { .eax = 0x8000001f } },
	{ CPUID_EXTENDED + 1, { .ecx = CPUID80000001_ECX_TOPOEXT } },
	{ CPUID_AMD_CORES, { .ebx = 0x0103 } },
	{ ~0u, { 0 } },
};
static const struct answer three_threads[] = {
	{ CPUID_EXTENDED, { .eax = 0x8000001e } },
	{ CPUID_EXTENDED + 1, { .ecx = CPUID80000001_ECX_TOPOEXT } },
	{ CPUID_AMD_CORES, { .ebx = 0x0200 } },
	{ ~0u, { 0 } },
};
/* Firmware has switched TOPOEXT off. */
static const struct answer hidden[] = {
	{ 0, { .eax = 0xd } },
	{ 1, { .edx = CPUID1_EDX_HTT } },
	{ CPUID_EXTENDED, { .eax = 0x8000001f } },
	{ CPUID_AMD_CORES, { .ebx = 0x0103 } },
	{ ~0u, { 0 } },
};
static const struct answer single[] = {
	{ 0, { .eax = 0xd } },
	{ ~0u, { 0 } },
};

static void threads_of_a_core(void **state)
{
	static const struct {
		const struct answer *answers;
		bool known;
		unsigned int bits;
	} cases[] = {
		{ intel, true, 1 },   { zen, true, 1 },	   { three_threads, true, 2 },
		{ hidden, false, 0 }, { single, true, 0 },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int bits = 99;

		answers = cases[i].answers;
		assert_int_equal(topology_thread_bits(&bits), cases[i].known);
		assert_int_equal(bits, cases[i].bits);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(threads_of_a_core) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
