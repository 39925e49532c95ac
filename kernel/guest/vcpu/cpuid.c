/* The CPUID policy. A leaf that is not in the table reads as zero. The others return what all CPUs
 * answer (cpuidcommon.c), reduced to the bits that a guest may see; that is computed when a CPU
 * starts, the only time that CPUID itself is executed. Then the fields that depend on the vCPU are
 * filled in. */
#include <kernel/guest/vcpu/cpuid.h>

#include <kernel/core/clock.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuidcommon.h>
#include <kernel/guest/vcpu/kvmclock.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vlapictimer.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>

#define ALL 0xffffffffu

#define XSAVE_MIN_SIZE 576u /* the legacy region and the header: SDM vol. 1, 13.4 */
#define XCR0_ALLOWED (XCR0_X87 | XCR0_SSE | XCR0_AVX)

struct leaf_policy {
	u32 leaf;
	u32 eax, ebx, ecx, edx; /* bits that pass */
};

static const struct leaf_policy leaves[] = {
	{ 0x0, 0, ALL, ALL, ALL },
	/* ECX: SSE3 PCLMUL SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND; not
	 * MONITOR, VMX, PCID. EDX: FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP PGE MCA CMOV PAT PSE36
	 * CLFSH MMX FXSR SSE SSE2; not MTRR. */
	{ 0x1, ALL, 0x0000ff00, 0x76d83203, 0x078bebfd },
	/* EBX: FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS RDSEED ADX SMAP CLFLUSHOPT CLWB SHA. ECX: UMIP. */
	{ 0x7, 0, 0x219c03a9, 0x4, 0 },
	{ 0xd, 0, 0, 0, 0 },
	{ 0x80000000, 0, ALL, ALL, ALL },
	/* ECX: LAHF, ABM, SSE4A, misaligned SSE, prefetch. EDX: SYSCALL NX MMXEXT MMX FXSR FFXSR 1G
	 * RDTSCP LM; not SVM. */
	{ 0x80000001, ALL, 0, 0x000001e1, 0x2fd3ebfd },
	{ 0x80000002, ALL, ALL, ALL, ALL },
	{ 0x80000003, ALL, ALL, ALL, ALL },
	{ 0x80000004, ALL, ALL, ALL, ALL },
	{ 0x80000005, ALL, ALL, ALL, ALL },
	{ 0x80000006, ALL, ALL, ALL, ALL },
	{ 0x80000007, 0, 0, 0, CPUID80000007_EDX_TSC_INVARIANT },
	{ 0x80000008, 0xffff, 0, 0, 0 },
};

#define LAST_HYPERVISOR WEIR_CPUID_TIMING

struct cpuid_answers cpuid_answers;

/* Asked for at each switch of vCPUs. */
static u64 xcr0_offered;
static bool has_tsc_aux;

static struct cpuid *answer_to(u32 leaf)
{
	return leaf & CPUID_EXTENDED ? &cpuid_answers.extended[leaf - CPUID_EXTENDED] :
				       &cpuid_answers.standard[leaf];
}

static void fill_answers(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++) {
		const struct leaf_policy *p = &leaves[i];
		struct cpuid r = cpuid_common(p->leaf, 0);

		*answer_to(p->leaf) = (struct cpuid){ r.eax & p->eax, r.ebx & p->ebx,
						      r.ecx & p->ecx, r.edx & p->edx };
	}
	cpuid_answers.standard[0].eax = CPUID_LAST_STANDARD;
	cpuid_answers.extended[0].eax = CPUID_LAST_EXTENDED;
}

void policy_cpu_init(void)
{
	cpuid_common_add();
	fill_answers();
	xcr0_offered = 0;
	if (cpuid_common(1, 0).ecx & CPUID1_ECX_XSAVE)
		xcr0_offered = cpuid_common(0xd, 0).eax & XCR0_ALLOWED;
	has_tsc_aux = cpuid_common(0x80000001, 0).edx & CPUID80000001_EDX_RDTSCP;
}

u64 policy_xcr0(void)
{
	return xcr0_offered;
}

bool policy_has_tsc_aux(void)
{
	return has_tsc_aux;
}

/* Which feature makes each bit of CR4 valid (SDM vol. 3, 2.5). The others are never offered: VME,
 * LA57, VMXE, SMXE, PCIDE, KL, PKE, CET and newer ones. */
static const struct {
	u64 cr4;
	u32 leaf;
	enum cpuid_register reg;
	u64 feature;
} cr4_features[] = {
	{ CR4_TSD, 1, EDX, CPUID1_EDX_TSC },	   { CR4_DE, 1, EDX, CPUID1_EDX_DE },
	{ CR4_PSE, 1, EDX, CPUID1_EDX_PSE },	   { CR4_PAE, 1, EDX, CPUID1_EDX_PAE },
	{ CR4_MCE, 1, EDX, CPUID1_EDX_MCE },	   { CR4_PGE, 1, EDX, CPUID1_EDX_PGE },
	{ CR4_OSFXSR, 1, EDX, CPUID1_EDX_FXSR },   { CR4_OSXMMEXCPT, 1, EDX, CPUID1_EDX_SSE },
	{ CR4_OSXSAVE, 1, ECX, CPUID1_ECX_XSAVE }, { CR4_FSGSBASE, 7, EBX, CPUID7_EBX_FSGSBASE },
	{ CR4_SMEP, 7, EBX, CPUID7_EBX_SMEP },	   { CR4_SMAP, 7, EBX, CPUID7_EBX_SMAP },
	{ CR4_UMIP, 7, ECX, CPUID7_ECX_UMIP },
};

u64 policy_cr4(void)
{
	u64 allowed = CR4_PCE; /* no feature; RDPMC raises #GP all the same */

	for (unsigned int i = 0; i < ARRAY_SIZE(cr4_features); i++) {
		struct cpuid r = cpuid_answers.standard[cr4_features[i].leaf];
		const u32 value[] = { r.eax, r.ebx, r.ecx, r.edx };

		if (value[cr4_features[i].reg] & cr4_features[i].feature)
			allowed |= cr4_features[i].cr4;
	}
	return allowed;
}

u64 policy_efer(void)
{
	u32 has = answer_to(0x80000001)->edx;

	return (has & CPUID80000001_EDX_SYSCALL ? EFER_SCE : 0) |
	       (has & CPUID80000001_EDX_NX ? EFER_NXE : 0) |
	       (has & CPUID80000001_EDX_FFXSR ? EFER_FFXSR : 0) |
	       (has & CPUID80000001_EDX_LM ? EFER_LME : 0);
}

bool policy_cr4_is_valid(const struct vcpu *v, const struct vcpu_mode *mode, u64 value)
{
	return !(value & ~v->cr4_allowed) && (!(mode->efer & EFER_LMA) || (value & CR4_PAE));
}

static struct cpuid features(struct vcpu *v)
{
	struct cpuid r = *answer_to(1);
	struct vcpu_mode m;

	vcpu_backend->mode(v, &m);
	r.ebx |= v->id << 24 | v->vm->nr_vcpus << 16;
	r.ecx |= (u32)(CPUID1_ECX_X2APIC | CPUID1_ECX_TSC_DEADLINE | CPUID1_ECX_HYPERVISOR);
	if ((r.ecx & CPUID1_ECX_XSAVE) && (m.cr4 & CR4_OSXSAVE))
		r.ecx |= CPUID1_ECX_OSXSAVE;
	if (!(v->lapic.apic_base & APIC_BASE_ENABLE))
		r.edx &= ~(u32)CPUID1_EDX_APIC;
	if (v->vm->nr_vcpus > 1)
		r.edx |= CPUID1_EDX_HTT;
	return r;
}

/* SDM vol. 2, CPUID leaf 0BH: one thread per core, all cores in one package. */
static struct cpuid topology(struct vcpu *v, u32 subleaf)
{
	struct cpuid r = { 0, 0, subleaf & 0xff, v->id };
	u32 nr = v->vm->nr_vcpus;

	if (subleaf == 0) {
		r.ebx = 1;
		r.ecx |= FIELD_PREP(CPUIDB_ECX_LEVEL, CPUIDB_LEVEL_THREAD);
	} else if (subleaf == 1) {
		r.eax = nr > 1 ? 32 - (u32)__builtin_clz(nr - 1) : 0;
		r.ebx = nr;
		r.ecx |= FIELD_PREP(CPUIDB_ECX_LEVEL, CPUIDB_LEVEL_CORE);
	}
	return r;
}

/* The size of an XSAVE area with these features. Compacted, each state lies behind the last one
 * (SDM vol. 1, 13.4.3); the alignment of AVX, 64, makes no gap. */
static u32 xsave_size(u64 features, bool compacted)
{
	struct cpuid avx;

	if (!(features & XCR0_AVX))
		return XSAVE_MIN_SIZE;
	avx = cpuid_common(0xd, 2);
	return compacted ? XSAVE_MIN_SIZE + avx.eax : avx.ebx + avx.eax;
}

/* Leaf 0DH. IA32_XSS is always 0, because XSAVES is not offered. */
static struct cpuid xsave(const struct vcpu *v, u32 subleaf)
{
	u64 allowed = policy_xcr0();
	struct cpuid r = { 0, 0, 0, 0 };

	if (!allowed)
		return r;
	if (subleaf == 0) {
		r.eax = (u32)allowed;
		r.ebx = xsave_size(v->xcr0, false);
		r.ecx = xsave_size(allowed, false);
	} else if (subleaf == 1) {
		r.eax = cpuid_common(0xd, 1).eax &
			(CPUIDD_EAX_XSAVEOPT | CPUIDD_EAX_XSAVEC | CPUIDD_EAX_XGETBV1);
		if (r.eax & CPUIDD_EAX_XSAVEC)
			r.ebx = xsave_size(v->xcr0, true);
	} else if (subleaf < 63 && (allowed & BIT(subleaf))) {
		r = cpuid_common(0xd, subleaf);
	}
	return r;
}

static struct cpuid hypervisor(u32 leaf)
{
	struct cpuid r = { 0, 0, 0, 0 };

	switch (leaf) {
	case WEIR_CPUID_BASE:
		r.eax = LAST_HYPERVISOR;
		r.ebx = r.ecx = r.edx = WEIR_CPUID_EBX;
		break;
	case WEIR_CPUID_BASE + 1:
		r.eax = WEIR_ABI_VERSION;
		break;
	case WEIR_CPUID_TIMING:
		r.eax = (u32)(clock_tsc_hz() / 1000);
		r.ebx = VLAPIC_TIMER_HZ / 1000;
		break;
	}
	return r;
}

struct cpuid policy_cpuid(struct vcpu *v, u32 leaf, u32 subleaf)
{
	const struct cpuid *fixed = policy_cpuid_fixed(leaf);
	struct cpuid none = { 0, 0, 0, 0 }, r;

	if (fixed)
		return *fixed;
	if (leaf >= WEIR_CPUID_BASE && leaf <= LAST_HYPERVISOR)
		return hypervisor(leaf);
	if (leaf >= KVM_CPUID_BASE && leaf <= KVM_CPUID_LAST)
		return kvmclock_cpuid(leaf);
	switch (leaf) {
	case 1:
		return features(v);
	case 7:
		return subleaf ? none : *answer_to(7);
	case 0xb:
		return topology(v, subleaf);
	case 0xd:
		return xsave(v, subleaf);
	case CPUID_LAST_EXTENDED:
		r = *answer_to(CPUID_LAST_EXTENDED);
		r.ecx = v->vm->nr_vcpus - 1;
		return r;
	default:
		return none;
	}
}
