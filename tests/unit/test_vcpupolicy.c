/* sources: */
/* What a guest sees of processors that differ: CPUID's answers fit each other, and Weir touches no
 * register that the processor does not have. */
#include "test.h"

#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/pveoi.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>

/* --- a processor ---------------------------------------------------------- */

static bool has_rdtscp, has_xsave, has_xsavec, has_avx, has_more; /* more: PKRU, AVX-512, XSAVES */
static u32 last_leaf, last_extended;
static u32 features_1_ecx, features_1_edx, features_7_ebx, features_7_ecx;
static u32 tsc_aux_writes;
static u32 cpuids; /* executed */

static struct cpuid xsave_leaf(u32 subleaf)
{
	switch (subleaf) {
	case 0:
		return (struct cpuid){ 3 | (has_avx ? 4 : 0) | (has_more ? 0x2e0 : 0), 576,
				       has_more ? 2696 :
				       has_avx	? 832 :
						  576,
				       0 };
	case 1:
		return (struct cpuid){ 1 | (has_xsavec ? 6 : 0) | (has_more ? 8 : 0), 576, 0, 0 };
	case 2:
		return (struct cpuid){ has_avx ? 256 : 0, has_avx ? 576 : 0, 0, 0 };
	default:
		return (struct cpuid){ has_more ? 64 : 0, has_more ? 1088 : 0, 0, 0 };
	}
}

/* Like Intel's, it answers for a leaf above the last one as for the last one. */
static struct cpuid test_cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid r = { 0, 0, 0, 0 };

	cpuids++;
	if (leaf > (leaf < 0x80000000 ? last_leaf : last_extended))
		leaf = last_leaf;
	switch (leaf) {
	case 0:
		return (struct cpuid){ last_leaf, 0x68747541, 0x444d4163, 0x69746e65 };
	case 1:
		r.ecx = features_1_ecx & ~(u32)(CPUID1_ECX_XSAVE | CPUID1_ECX_OSXSAVE);
		r.ecx |= has_xsave ? (u32)CPUID1_ECX_XSAVE : 0;
		r.edx = features_1_edx;
		return r;
	case 7:
		return (struct cpuid){ 2, features_7_ebx, features_7_ecx, ~0u };
	case 0xd:
		return has_xsave ? xsave_leaf(subleaf) : r;
	case 0x80000000:
		return (struct cpuid){ last_extended, 0x68747541, 0x444d4163, 0x69746e65 };
	case 0x80000001:
		return (struct cpuid){ 0, 0, ~0u,
				       has_rdtscp ? ~0u : ~(u32)CPUID80000001_EDX_RDTSCP };
	default:
		return (struct cpuid){ 0xffffff, ~0u, ~0u, ~0u };
	}
}

static void test_wrmsr(u32 msr, u64 value)
{
	(void)value;
	assert_int_equal(msr, MSR_TSC_AUX);
	if (!has_rdtscp)
		fail_msg("a write to TSC_AUX, which this processor does not have");
	tsc_aux_writes++;
}

#define cpuid(leaf, subleaf) test_cpuid(leaf, subleaf)
#define wrmsr(msr, value) test_wrmsr(msr, value)
#include <kernel/guest/vcpu/cpuid.c>
#include <kernel/guest/vcpu/cpuidcommon.c>
#include <kernel/guest/vcpu/msr.c>
#undef cpuid
#undef wrmsr

/* --- what the policies call ----------------------------------------------- */

static struct vcpu_mode mode_now;

static void mode(const struct vcpu *v, struct vcpu_mode *m)
{
	(void)v;
	*m = mode_now;
}

static const struct vcpu_backend backend = { .mode = mode };
const struct vcpu_backend *vcpu_backend = &backend;

u64 clock_tsc_hz(void)
{
	return 2000000000;
}

struct cpuid kvmclock_cpuid(u32 leaf)
{
	(void)leaf;
	return (struct cpuid){ 0, 0, 0, 0 };
}

u64 kvmclock_read_msr(const struct vcpu *v, u32 msr)
{
	(void)v, (void)msr;
	return 0;
}

int kvmclock_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	(void)v, (void)msr, (void)value;
	return 0;
}

void kvmclock_update(struct vcpu *v)
{
	(void)v;
}

int pveoi_write_msr(struct vcpu *v, u64 value)
{
	(void)v, (void)value;
	return 0;
}

int vlapic_read_msr(struct vcpu *v, u32 msr, u64 *value)
{
	(void)v, (void)msr, (void)value;
	return -EINVAL;
}

int vlapic_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	(void)v, (void)msr, (void)value;
	return -EINVAL;
}

/* --- tests ---------------------------------------------------------------- */

static struct vm vm;
static struct vcpu vcpu;

/* No CPU has been looked at. */
static void forget(void)
{
	is_filled = false;
	for (u32 i = 0; i < ARRAY_SIZE(answers); i++)
		memset(answers[i].any, 0, sizeof(answers[i].any));
}

static void begin(void)
{
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.vm = &vm;
	vm.nr_vcpus = 1;
	tsc_aux_writes = 0;
	has_rdtscp = has_xsave = has_xsavec = has_avx = has_more = true;
	last_leaf = 0x20;
	last_extended = 0x80000021;
	features_1_ecx = features_1_edx = features_7_ebx = features_7_ecx = ~0u;
	mode_now = (struct vcpu_mode){ .cr4 = 0 };
	forget();
	policy_cpu_init();
}

/* A processor of any age. */
static void choose_processor(void)
{
	has_rdtscp = rand() % 2;
	has_xsave = rand() % 4;
	has_xsavec = rand() % 2;
	has_avx = rand() % 2;
	has_more = has_avx && rand() % 2;
	last_leaf = has_xsave ? 0xdu + (u32)rand() % 0x20 : 1u + (u32)rand() % 0xc;
	last_extended = 0x80000008u + (u32)rand() % 0x20;
	features_1_ecx = (u32)rand() * 2 ^ (u32)rand();
	features_1_edx = (u32)rand() * 2 ^ (u32)rand();
	features_7_ebx = (u32)rand() * 2 ^ (u32)rand();
	features_7_ecx = (u32)rand() * 2 ^ (u32)rand();
}

/* The machine has one, with a guest in any state on it. */
static void any_processor(void)
{
	begin();
	choose_processor();
	forget();
	policy_cpu_init();
	vm.nr_vcpus = 1 + (u32)rand() % 16;
	vcpu.id = (u32)rand() % vm.nr_vcpus;
	vcpu.xcr0 = XCR0_X87;
	if (has_xsave)
		vcpu.xcr0 |= (u64)rand() & (has_avx ? 6 : 2);
	if (vcpu.xcr0 & XCR0_AVX)
		vcpu.xcr0 |= XCR0_SSE;
	mode_now.cr4 = rand() % 2 && has_xsave ? CR4_OSXSAVE : 0;
}

/* Most leaves have no subleaves, and kernels do not set ECX for them. */
static void ecx_may_be_anything(void **state)
{
	(void)state;
	for (u32 round = 0; round < 100; round++) {
		any_processor();
		for (u32 i = 0; i < ARRAY_SIZE(leaves); i++) {
			struct cpuid one, other;

			if (leaves[i].leaf == 0x7 || leaves[i].leaf == 0xd)
				continue;
			one = policy_cpuid(&vcpu, leaves[i].leaf, 0);
			other = policy_cpuid(&vcpu, leaves[i].leaf, 1 + (u32)rand());
			assert_memory_equal(&one, &other, sizeof(one));
		}
	}
}

/* TSC_AUX is there if CPUID has RDTSCP, for the guest as for Weir. */
static void tsc_aux(void **state)
{
	u64 value = 1;

	(void)state;
	begin();
	has_rdtscp = false;
	policy_cpu_init();
	assert_false(policy_cpuid(&vcpu, 0x80000001, 0).edx & CPUID80000001_EDX_RDTSCP);
	assert_int_equal(policy_wrmsr(&vcpu, MSR_TSC_AUX, 5), -EINVAL);
	assert_int_equal(policy_rdmsr(&vcpu, MSR_TSC_AUX, &value), -EINVAL);
	assert_int_equal(vcpu.absent_msrs, 2);
	assert_int_equal(vcpu.tsc_aux, 0);

	begin();
	assert_true(policy_cpuid(&vcpu, 0x80000001, 0).edx & CPUID80000001_EDX_RDTSCP);
	assert_int_equal(policy_wrmsr(&vcpu, MSR_TSC_AUX, 5), 0);
	assert_int_equal(policy_rdmsr(&vcpu, MSR_TSC_AUX, &value), 0);
	assert_int_equal(value, 5);
	assert_int_equal(tsc_aux_writes, 1);
	assert_int_equal(policy_wrmsr(&vcpu, MSR_TSC_AUX, 1UL << 32), -EINVAL);
}

static struct cpuid ask(u32 leaf, u32 subleaf)
{
	return policy_cpuid(&vcpu, leaf, subleaf);
}

static bool is_empty(struct cpuid r)
{
	return !(r.eax | r.ebx | r.ecx | r.edx);
}

/* SDM vol. 1, 13.2. */
static void xsave_sizes_fit(void)
{
	struct cpuid all = ask(0xd, 0), more = ask(0xd, 1);
	u32 standard = 576, compacted = 576, enabled = 576;

	if (!(ask(1, 0).ecx & CPUID1_ECX_XSAVE)) {
		for (u32 i = 0; i < 64; i++)
			assert_true(is_empty(ask(0xd, i)));
		return;
	}
	assert_true((all.eax & 3) == 3 && !all.edx);
	for (u32 i = 2; i < 64; i++) {
		struct cpuid part = ask(0xd, i);

		if (i >= 32 || !(all.eax & 1u << i)) {
			assert_true(is_empty(part));
			continue;
		}
		standard = MAX(standard, part.ebx + part.eax);
		if (!(vcpu.xcr0 & BIT(i)))
			continue;
		enabled = MAX(enabled, part.ebx + part.eax);
		compacted += part.eax;
	}
	assert_int_equal(all.ecx, standard);
	assert_int_equal(all.ebx, enabled);
	assert_false(more.ecx || more.edx || (more.eax & ~7u));
	if (more.eax & CPUIDD_EAX_XSAVEC)
		assert_int_equal(more.ebx, compacted);
}

/* Whatever the processor has, the leaves agree with each other. */
static void leaves_agree(void **state)
{
	(void)state;
	srand(test_seed());
	for (u32 i = 0; i < 20000; i++) {
		struct cpuid zero, one, extended;

		any_processor();
		zero = ask(0, 0);
		one = ask(1, 0);
		extended = ask(0x80000000, 0);
		assert_true(is_empty(ask(zero.eax + 1, 0)));
		assert_true(is_empty(ask(extended.eax + 1, 0)));
		assert_int_equal(zero.ebx, extended.ebx);
		assert_int_equal(!!(one.ecx & CPUID1_ECX_OSXSAVE), !!(mode_now.cr4 & CR4_OSXSAVE));
		xsave_sizes_fit();
		if (last_leaf < 7)
			assert_true(is_empty(ask(7, 0)));
		/* The topology. */
		assert_int_equal(one.ebx >> 24, vcpu.id);
		assert_int_equal(ask(0xb, 0).edx, vcpu.id);
		assert_int_equal(ask(0xb, 1).ebx, vm.nr_vcpus);
		assert_int_equal(ask(0x80000008, 0).ecx + 1, vm.nr_vcpus);
		assert_true(1u << ask(0xb, 1).eax >= vm.nr_vcpus);
	}
}

/* CR4 has the bits of what CPUID offers, and no others. */
static void cr4_follows_cpuid(void **state)
{
	const u64 hidden = ~(CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE |
			     CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_UMIP | CR4_FSGSBASE | CR4_OSXSAVE |
			     CR4_SMEP | CR4_SMAP);

	(void)state;
	begin();
	assert_int_equal(policy_cr4(), ~hidden);
	srand(test_seed());
	for (u32 i = 0; i < 20000; i++) {
		struct cpuid one, seven;
		u64 cr4, value = (u64)rand() << 32 ^ (u64)rand();

		any_processor();
		one = ask(1, 0);
		seven = ask(7, 0);
		cr4 = policy_cr4();
		assert_false(cr4 & hidden);
		assert_int_equal(!!(cr4 & CR4_OSXSAVE), !!(one.ecx & CPUID1_ECX_XSAVE));
		assert_int_equal(!!(cr4 & CR4_PGE), !!(one.edx & CPUID1_EDX_PGE));
		assert_int_equal(!!(cr4 & CR4_SMEP), !!(seven.ebx & CPUID7_EBX_SMEP));
		assert_int_equal(!!(cr4 & CR4_SMAP), !!(seven.ebx & CPUID7_EBX_SMAP));
		assert_int_equal(!!(cr4 & CR4_FSGSBASE), !!(seven.ebx & CPUID7_EBX_FSGSBASE));
		assert_int_equal(!!(cr4 & CR4_UMIP), !!(seven.ecx & CPUID7_ECX_UMIP));

		vcpu.cr4_allowed = cr4;
		mode_now.efer = 0;
		assert_true(policy_cr4_is_valid(&vcpu, &mode_now, value & cr4));
		if (value & ~cr4)
			assert_false(policy_cr4_is_valid(&vcpu, &mode_now, value));
		mode_now.efer = EFER_LMA;
		assert_false(policy_cr4_is_valid(&vcpu, &mode_now, value & ~CR4_PAE));
	}
}

/* --- CPUs that differ ----------------------------------------------------- */

#define NR_CPUS 4

static char logged[8][200];
static u32 nr_logged;

void log_print(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	(void)level;
	assert_true(nr_logged < ARRAY_SIZE(logged));
	va_start(ap, fmt);
	vsnprintf(logged[nr_logged++], sizeof(logged[0]), fmt, ap);
	va_end(ap);
}

/* The leaves that a guest may compare between CPUs. */
static const struct {
	u32 leaf, subleaf;
} compared[] = {
	{ 0, 0 },	   { 1, 0 },	      { 7, 0 },		 { 7, 1 },
	{ 0xb, 0 },	   { 0xb, 1 },	      { 0xd, 0 },	 { 0xd, 1 },
	{ 0xd, 2 },	   { 0xd, 3 },	      { 0x80000000, 0 }, { 0x80000001, 0 },
	{ 0x80000004, 0 }, { 0x80000006, 0 }, { 0x80000007, 0 }, { 0x80000008, 0 },
};

static bool is_feature_leaf(u32 i)
{
	return compared[i].leaf == 1 || compared[i].leaf == 7 || compared[i].leaf == 0x80000001;
}

/* What all CPUs have is offered, and nothing else; by all of them; and none is asked again. */
static void cpus_that_differ(void **state)
{
	(void)state;
	srand(test_seed());
	for (u32 n = 0; n < 5000; n++) {
		struct cpuid alone[ARRAY_SIZE(compared)], all[ARRAY_SIZE(compared)];
		u64 xcr0 = ~0UL, cr4 = ~0UL;
		u32 seed = (u32)rand();
		bool aux = true;

		memset(all, 0xff, sizeof(all));
		/* Each by itself first. */
		srand(seed);
		for (u32 cpu = 0; cpu < NR_CPUS; cpu++) {
			begin();
			choose_processor();
			forget();
			policy_cpu_init();
			vcpu.xcr0 = XCR0_X87;
			for (u32 i = 0; i < ARRAY_SIZE(compared); i++) {
				alone[i] = ask(compared[i].leaf, compared[i].subleaf);
				all[i].ecx &= alone[i].ecx;
				all[i].edx &= alone[i].edx;
				if (compared[i].leaf == 7)
					all[i].ebx &= alone[i].ebx;
			}
			xcr0 &= policy_xcr0();
			cr4 &= policy_cr4();
			aux = aux && policy_has_tsc_aux();
		}
		/* Now together. */
		srand(seed);
		begin();
		forget();
		for (u32 cpu = 0; cpu < NR_CPUS; cpu++) {
			choose_processor();
			policy_cpu_init();
		}
		vcpu.xcr0 = XCR0_X87;
		cpuids = 0;
		for (u32 i = 0; i < ARRAY_SIZE(compared); i++) {
			struct cpuid r = ask(compared[i].leaf, compared[i].subleaf);

			if (!is_feature_leaf(i))
				continue;
			assert_int_equal(r.ecx, all[i].ecx);
			assert_int_equal(r.edx, all[i].edx);
			if (compared[i].leaf == 7)
				assert_int_equal(r.ebx, all[i].ebx);
		}
		assert_int_equal(policy_xcr0(), xcr0);
		assert_int_equal(policy_cr4(), cr4);
		assert_int_equal(policy_has_tsc_aux(), aux);
		vcpu.xcr0 = xcr0 ? xcr0 : XCR0_X87;
		xsave_sizes_fit();
		assert_int_equal(cpuids, 0);
	}
}

/* Limits are the smallest; a state that lies elsewhere on another CPU is not offered. */
static void limits(void **state)
{
	(void)state;
	assert_int_equal(smaller_bytes(0x3024, 0x3930), 0x3024);
	assert_int_equal(smaller_bytes(0x3930, 0x302e), 0x302e);
	begin();
	assert_int_equal(policy_xcr0(), XCR0_X87 | XCR0_SSE | XCR0_AVX);
	answer_of(0xd, 2)->common[EBX] += 64;
	policy_cpu_init();
	assert_int_equal(policy_xcr0(), XCR0_X87 | XCR0_SSE);
}

/* The log names what one CPU lacks, and nothing if none does. */
static void named(void **state)
{
	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(named_features); i++) {
		u32 words = 1;

		for (const char *p = named_features[i].names; *p; p++)
			words += *p == ' ';
		assert_int_equal(words, __builtin_popcount(named_features[i].bits));
	}
	begin();
	policy_cpu_init();
	nr_logged = 0;
	cpuid_common_report();
	assert_int_equal(nr_logged, 0);

	features_7_ebx &= ~(1u << 5 | 1u << 29);
	has_rdtscp = false;
	policy_cpu_init();
	cpuid_common_report();
	assert_int_equal(nr_logged, 2);
	assert_string_equal(logged[0], "cpu: no guest gets what not every CPU has: AVX2 SHA");
	assert_string_equal(logged[1], "cpu: no guest gets what not every CPU has: RDTSCP");

	/* Whichever starts first. */
	begin();
	features_7_ebx = 0;
	forget();
	policy_cpu_init();
	features_7_ebx = ~0u;
	policy_cpu_init();
	nr_logged = 0;
	cpuid_common_report();
	assert_int_equal(nr_logged, 1);
	assert_non_null(strstr(logged[0], ": FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS RDSEED ADX SMAP "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ecx_may_be_anything),
		cmocka_unit_test(tsc_aux),
		cmocka_unit_test(leaves_agree),
		cmocka_unit_test(cr4_follows_cpuid),
		cmocka_unit_test(cpus_that_differ),
		cmocka_unit_test(limits),
		cmocka_unit_test(named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
