/* What CPUID promises is kept: each feature that it offers is used, sizes and topologies agree, and
 * MSRs that kernels read at boot without asking can be read. */
#include <tests/guests/guest.h>

#include <kernel/abi/kvm.h>

/* An instruction that continues where TRY does, whether it raises an exception or not. */
#define USE(label, text)                                                                           \
	__asm__(".pushsection .text\n" #label ": " text "\n\tjmp *caught(%rip)\n"                  \
		".popsection");                                                                    \
	extern const u8 label[]

static u8 area[4096] __aligned(64);

USE(use_sse3, "haddps %xmm0, %xmm0");
USE(use_pclmulqdq, "pclmulqdq $0, %xmm0, %xmm0");
USE(use_ssse3, "pabsb %xmm0, %xmm0");
USE(use_fma, "vfmadd132ps %xmm0, %xmm0, %xmm0");
USE(use_cx16, "lock cmpxchg16b area(%rip)");
USE(use_sse41, "ptest %xmm0, %xmm0");
USE(use_sse42, "pcmpgtq %xmm0, %xmm0");
USE(use_movbe, "movbe area(%rip), %eax");
USE(use_popcnt, "popcnt %eax, %eax");
USE(use_aes, "aesenc %xmm0, %xmm0");
USE(use_xsave, "xor %ecx, %ecx; xgetbv");
USE(use_avx, "vpaddd %xmm0, %xmm0, %xmm0");
USE(use_f16c, "vcvtph2ps %xmm0, %xmm0");
USE(use_rdrand, "rdrand %eax");
USE(use_fpu, "fninit");
USE(use_tsc, "rdtsc");
USE(use_msr, "mov $0x10, %ecx; rdmsr");
USE(use_cx8, "lock cmpxchg8b area(%rip)");
USE(use_sep, "mov $0x174, %ecx; rdmsr");
USE(use_cmov, "cmovz %eax, %eax");
USE(use_pat, "mov $0x277, %ecx; rdmsr");
USE(use_clflush, "clflush area(%rip)");
USE(use_mmx, "movd %eax, %mm0; emms");
USE(use_fxsr, "fxsave area(%rip)");
USE(use_sse, "addps %xmm0, %xmm0");
USE(use_sse2, "addpd %xmm0, %xmm0");
USE(use_fsgsbase, "rdfsbase %rax; wrfsbase %rax");
USE(use_bmi1, "andn %eax, %eax, %eax");
USE(use_avx2, "vpaddd %ymm0, %ymm0, %ymm0");
USE(use_bmi2, "rorx $1, %eax, %eax");
USE(use_rdseed, "rdseed %eax");
USE(use_adx, "adcx %eax, %eax");
USE(use_smap, "stac; clac");
USE(use_clflushopt, "clflushopt area(%rip)");
USE(use_clwb, "clwb area(%rip)");
USE(use_sha, "sha1msg1 %xmm0, %xmm0");
USE(use_lahf, "lahf");
USE(use_abm, "lzcnt %eax, %eax");
USE(use_sse4a, "movntss %xmm0, area(%rip)");
USE(use_prefetch, "prefetchw area(%rip)");
USE(use_rdtscp, "rdtscp");
USE(use_mmxext, "pminub %mm0, %mm0; emms");
USE(use_xsaveopt, "mov $3, %eax; xor %edx, %edx; xsaveopt area(%rip)");
USE(use_xsavec, "mov $3, %eax; xor %edx, %edx; xsavec area(%rip)");
USE(use_xgetbv1, "mov $1, %ecx; xgetbv");

/* A feature, and what uses it: an instruction, or a bit of CR4 or EFER that can be set. This
 * guest's pages are all the user's, so it cannot set CR4.SMEP or CR4.SMAP. */
static const struct feature {
	const char *name;
	u32 leaf, subleaf;
	enum cpuid_register reg;
	u32 bit;
	const u8 *use;
	u64 cr4, efer;
} features[] = {
	{ "SSE3", 1, 0, ECX, 0, use_sse3, 0, 0 },
	{ "PCLMULQDQ", 1, 0, ECX, 1, use_pclmulqdq, 0, 0 },
	{ "SSSE3", 1, 0, ECX, 9, use_ssse3, 0, 0 },
	{ "FMA", 1, 0, ECX, 12, use_fma, 0, 0 },
	{ "CMPXCHG16B", 1, 0, ECX, 13, use_cx16, 0, 0 },
	{ "SSE4.1", 1, 0, ECX, 19, use_sse41, 0, 0 },
	{ "SSE4.2", 1, 0, ECX, 20, use_sse42, 0, 0 },
	{ "MOVBE", 1, 0, ECX, 22, use_movbe, 0, 0 },
	{ "POPCNT", 1, 0, ECX, 23, use_popcnt, 0, 0 },
	{ "AES", 1, 0, ECX, 25, use_aes, 0, 0 },
	{ "XSAVE", 1, 0, ECX, 26, use_xsave, 0, 0 },
	{ "AVX", 1, 0, ECX, 28, use_avx, 0, 0 },
	{ "F16C", 1, 0, ECX, 29, use_f16c, 0, 0 },
	{ "RDRAND", 1, 0, ECX, 30, use_rdrand, 0, 0 },
	{ "FPU", 1, 0, EDX, 0, use_fpu, 0, 0 },
	{ "DE", 1, 0, EDX, 2, NULL, CR4_DE, 0 },
	{ "PSE", 1, 0, EDX, 3, NULL, CR4_PSE, 0 },
	{ "TSC", 1, 0, EDX, 4, use_tsc, CR4_TSD, 0 },
	{ "MSR", 1, 0, EDX, 5, use_msr, 0, 0 },
	{ "MCE", 1, 0, EDX, 7, NULL, CR4_MCE, 0 },
	{ "CMPXCHG8B", 1, 0, EDX, 8, use_cx8, 0, 0 },
	{ "SYSENTER", 1, 0, EDX, 11, use_sep, 0, 0 },
	{ "PGE", 1, 0, EDX, 13, NULL, CR4_PGE, 0 },
	{ "CMOV", 1, 0, EDX, 15, use_cmov, 0, 0 },
	{ "PAT", 1, 0, EDX, 16, use_pat, 0, 0 },
	{ "CLFLUSH", 1, 0, EDX, 19, use_clflush, 0, 0 },
	{ "MMX", 1, 0, EDX, 23, use_mmx, 0, 0 },
	{ "FXSR", 1, 0, EDX, 24, use_fxsr, CR4_OSFXSR, 0 },
	{ "SSE", 1, 0, EDX, 25, use_sse, CR4_OSXMMEXCPT, 0 },
	{ "SSE2", 1, 0, EDX, 26, use_sse2, 0, 0 },
	{ "FSGSBASE", 7, 0, EBX, 0, use_fsgsbase, CR4_FSGSBASE, 0 },
	{ "BMI1", 7, 0, EBX, 3, use_bmi1, 0, 0 },
	{ "AVX2", 7, 0, EBX, 5, use_avx2, 0, 0 },
	{ "BMI2", 7, 0, EBX, 8, use_bmi2, 0, 0 },
	{ "RDSEED", 7, 0, EBX, 18, use_rdseed, 0, 0 },
	{ "ADX", 7, 0, EBX, 19, use_adx, 0, 0 },
	{ "SMAP", 7, 0, EBX, 20, use_smap, 0, 0 },
	{ "CLFLUSHOPT", 7, 0, EBX, 23, use_clflushopt, 0, 0 },
	{ "CLWB", 7, 0, EBX, 24, use_clwb, 0, 0 },
	{ "SHA", 7, 0, EBX, 29, use_sha, 0, 0 },
	{ "UMIP", 7, 0, ECX, 2, NULL, CR4_UMIP, 0 },
	{ "XSAVEOPT", 0xd, 1, EAX, 0, use_xsaveopt, 0, 0 },
	{ "XSAVEC", 0xd, 1, EAX, 1, use_xsavec, 0, 0 },
	{ "XGETBV with ECX = 1", 0xd, 1, EAX, 2, use_xgetbv1, 0, 0 },
	{ "LAHF", 0x80000001, 0, ECX, 0, use_lahf, 0, 0 },
	{ "ABM", 0x80000001, 0, ECX, 5, use_abm, 0, 0 },
	{ "SSE4A", 0x80000001, 0, ECX, 6, use_sse4a, 0, 0 },
	{ "PREFETCHW", 0x80000001, 0, ECX, 8, use_prefetch, 0, 0 },
	{ "SYSCALL", 0x80000001, 0, EDX, 11, NULL, 0, EFER_SCE },
	{ "NX", 0x80000001, 0, EDX, 20, NULL, 0, EFER_NXE },
	{ "MMXEXT", 0x80000001, 0, EDX, 22, use_mmxext, 0, 0 },
	{ "FFXSR", 0x80000001, 0, EDX, 25, NULL, 0, EFER_FFXSR },
	{ "RDTSCP", 0x80000001, 0, EDX, 27, use_rdtscp, 0, 0 },
};

static bool is_offered(const struct feature *f)
{
	struct cpuid r = cpuid(f->leaf, f->subleaf);
	const u32 value[] = { r.eax, r.ebx, r.ecx, r.edx };

	return value[f->reg] & BIT(f->bit);
}

/* The exception that using it raises. */
static u64 use(const struct feature *f)
{
	u64 cr4 = read_cr4(), efer = rdmsr(MSR_EFER), vector = NONE;

	if (f->cr4) {
		TRY("movq %[value], %%cr4", "+m"(area) : [value] "r"(cr4 | f->cr4));
		vector = caught.vector;
	}
	if (f->efer && vector == NONE)
		vector = try_wrmsr(MSR_EFER, efer | f->efer);
	if (f->use && vector == NONE) {
		TRY("jmp *%[use]", "+m"(area) : [use] "r"(f->use) : "rax", "rcx", "rdx", "cc");
		vector = caught.vector;
	}
	write_cr4(cr4);
	wrmsr(MSR_EFER, efer);
	return vector;
}

static void test_features(void)
{
	u32 kept = 0;

	for (u32 i = 0; i < ARRAY_SIZE(features); i++) {
		if (!is_offered(&features[i]) || use(&features[i]) == NONE)
			kept++;
		else
			print("%s: offered, exception %lu\n", features[i].name, caught.vector);
	}
	CHECK_EQ("contract: each feature works", kept, ARRAY_SIZE(features));
}

/* How much of `area` an instruction writes: the end of what differs from 0xa5, by 8 bytes. */
static u64 written(const u8 *instruction)
{
	u64 *words = (u64 *)area, end = sizeof(area) / sizeof(u64);

	for (u32 i = 0; i < sizeof(area); i++)
		area[i] = 0xa5;
	/* XSAVE reads the header (SDM vol. 1, 13.4.2). */
	for (u32 i = 512 / 8; i < 576 / 8; i++)
		words[i] = 0;
	TRY("jmp *%[use]", "+m"(area) : [use] "r"(instruction) : "rax", "rcx", "rdx", "cc");
	while (end && words[end - 1] == 0xa5a5a5a5a5a5a5a5)
		end--;
	return end * sizeof(u64);
}

USE(xsave_all, "mov $-1, %eax; mov $-1, %edx; xsave area(%rip)");
USE(xsavec_all, "mov $-1, %eax; mov $-1, %edx; xsavec area(%rip)");
USE(fill_ymm, "vpcmpeqd %ymm0, %ymm0, %ymm0; vpcmpeqd %ymm15, %ymm15, %ymm15");
USE(clear_ymm, "vzeroall");

static void test_xsave_sizes(void)
{
	struct cpuid all = cpuid(0xd, 0), avx = cpuid(0xd, 2);
	u64 offered = (u64)all.edx << 32 | all.eax;

	write_xcr0(XCR0_X87 | XCR0_SSE);
	CHECK_EQ("contract: the size of XSAVE without AVX", cpuid(0xd, 0).ebx, 576);
	if (!(offered & XCR0_AVX))
		return;
	write_xcr0(XCR0_X87 | XCR0_SSE | XCR0_AVX);
	CHECK_EQ("contract: the size of XSAVE is where AVX ends", cpuid(0xd, 0).ebx,
		 avx.ebx + avx.eax);
	TRY("jmp *%[use]", "+m"(area) : [use] "r"(fill_ymm));
	CHECK_EQ("contract: XSAVE writes no more", written(xsave_all), avx.ebx + avx.eax);
	if (cpuid(0xd, 1).eax & CPUIDD_EAX_XSAVEC)
		CHECK_EQ("contract: nor does XSAVEC", written(xsavec_all), cpuid(0xd, 1).ebx);
	TRY("jmp *%[use]", "+m"(area) : [use] "r"(clear_ymm));
}

/* --- the ACPI tables ------------------------------------------------------ */

static const void *at(u64 address)
{
	return (const void *)address;
}

static u32 dword(const void *table, u32 offset)
{
	return *(const u32 *)((const u8 *)table + offset);
}

const u8 *find_madt(void)
{
	const u8 *rsdp = at(0xe0000), *root;
	u32 entry, size;

	while (dword(rsdp, 0) != 0x20445352 || dword(rsdp, 4) != 0x20525450) /* "RSD PTR " */
		if ((rsdp += 16) == at(0x100000))
			return NULL;
	size = rsdp[15] >= 2 ? 8 : 4;
	root = at(size == 8 ? dword(rsdp, 24) : dword(rsdp, 16));
	for (entry = 36; entry < dword(root, 4); entry += size)
		if (dword(at(dword(root, entry)), 0) == 0x43495041) /* "APIC" */
			return at(dword(root, entry));
	return NULL;
}

/* ACPI 6.5, 5.2.12 */
u32 madt_apics(const u8 *madt)
{
	const u8 *p = madt + 44;
	u32 nr = 0;

	for (; p < madt + dword(madt, 4); p += p[1]) {
		if (p[0] == 0)
			nr += dword(p, 4) & 1;
		else if (p[0] == 9)
			nr += dword(p, 8) & 1;
	}
	return nr;
}

static void test_topology(void)
{
	const u8 *madt = find_madt();

	CHECK("contract: there is a MADT", madt);
	if (madt)
		CHECK_EQ("contract: the topology has the MADT's CPUs", cpuid(0xb, 1).ebx,
			 madt_apics(madt));
}

/* MSRs that kernels read on a processor of AMD without asking CPUID. */
static void test_msrs_at_boot(void)
{
	static const u32 msrs[] = {
		0x10,	    0x1b,	0x8b,	    0xfe,	0x174,	    0x179,	0x17a,
		0x277,	    0x2ff,	0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084,
		0xc0000100, 0xc0000101, 0xc0000102, 0xc0010000, 0xc0010004, 0xc0010010, 0xc0010015,
		0xc001001f, 0xc0010055, 0xc0010114, 0xc0011020, 0xc0011022, 0xc0011023, 0xc0011029,
	};
	u32 refused = 0;
	u64 value;

	for (u32 i = 0; i < ARRAY_SIZE(msrs); i++) {
		if (try_rdmsr(msrs[i], &value) == NONE)
			continue;
		print("MSR 0x%x: exception %lu\n", msrs[i], caught.vector);
		refused++;
	}
	CHECK_EQ("contract: MSRs that kernels read at boot", refused, 0);
}

/* The frequency in KVM's clock page is that of the hypervisor's leaf. */
static void test_frequencies(void)
{
	static volatile u32 page[8] __aligned(64); /* msr.rst, pvclock_vcpu_time_info */
	s8 shift;
	u64 khz;

	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (u64)page | 1);
	shift = (s8)page[7];
	/* ns = (ticks << shift) * mul >> 32 */
	khz = (1000000UL << 32) / page[6];
	khz = shift < 0 ? khz << -shift : khz >> shift;
	CHECK("contract: one frequency of the TSC", khz - tsc_khz + 2 <= 4);
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, 0);
}

void test_contract(void)
{
	u64 cr4 = read_cr4();

	if (!(cpuid(1, 0).ecx & CPUID1_ECX_XSAVE))
		return;
	write_cr4(cr4 | CR4_OSFXSR | CR4_OSXSAVE);
	write_xcr0(cpuid(0xd, 0).eax & (XCR0_X87 | XCR0_SSE | XCR0_AVX));
	test_features();
	test_xsave_sizes();
	write_cr4(cr4);
	test_topology();
	test_msrs_at_boot();
	if (under_weir)
		test_frequencies();
}
