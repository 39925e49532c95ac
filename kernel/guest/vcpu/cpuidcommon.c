/* See cpuidcommon.h. */
#include <kernel/guest/vcpu/cpuidcommon.h>

#include <kernel/core/log.h>
#include <kernel/lib/string.h>
#include <kernel/x86/control.h>

#define NR_REGISTERS 4

/* How a register's answers on several CPUs become one. */
enum merge {
	F, /* the first CPU's */
	A, /* features: the bits that all have */
	M, /* a limit: the smallest */
	B, /* a limit in each byte */
};

static struct answer {
	u32 leaf, subleaf;
	enum merge merge[NR_REGISTERS];
	u32 common[NR_REGISTERS];
	u32 any[NR_REGISTERS]; /* the bits that some CPU has */
} answers[] = {
	{ 0x0, 0, { M, F, F, F }, { 0 }, { 0 } },
	{ 0x1, 0, { F, F, A, A }, { 0 }, { 0 } },
	{ 0x7, 0, { F, A, A, A }, { 0 }, { 0 } },
	{ 0xd, 0, { A, F, F, F }, { 0 }, { 0 } },
	{ 0xd, 1, { A, F, F, F }, { 0 }, { 0 } },
	{ 0xd, 2, { F, F, F, F }, { 0 }, { 0 } },
	{ 0x80000000, 0, { M, F, F, F }, { 0 }, { 0 } },
	{ 0x80000001, 0, { F, F, A, A }, { 0 }, { 0 } },
	{ 0x80000002, 0, { F, F, F, F }, { 0 }, { 0 } },
	{ 0x80000003, 0, { F, F, F, F }, { 0 }, { 0 } },
	{ 0x80000004, 0, { F, F, F, F }, { 0 }, { 0 } },
	{ 0x80000005, 0, { F, F, F, F }, { 0 }, { 0 } },
	{ 0x80000006, 0, { F, F, F, F }, { 0 }, { 0 } },
	{ 0x80000007, 0, { F, F, F, A }, { 0 }, { 0 } },
	{ 0x80000008, 0, { B, F, F, F }, { 0 }, { 0 } },
};

/* The features that the log can name, by their bits in rising order. */
static const struct {
	u32 leaf, subleaf, reg, bits;
	const char *names;
} named_features[] = {
	{ 0x1, 0, ECX, 0x76d83203,
	  "SSE3 PCLMULQDQ SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND" },
	{ 0x1, 0, EDX, 0x078bebfd,
	  "FPU DE PSE TSC MSR PAE MCE CX8 APIC SEP PGE MCA CMOV PAT PSE36 CLFSH MMX FXSR SSE "
	  "SSE2" },
	{ 0x7, 0, EBX, 0x219c03a9,
	  "FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS RDSEED ADX SMAP CLFLUSHOPT CLWB SHA" },
	{ 0x7, 0, ECX, 0x4, "UMIP" },
	{ 0xd, 0, EAX, 0x4, "the-state-of-AVX" },
	{ 0xd, 1, EAX, 0x7, "XSAVEOPT XSAVEC XGETBV1" },
	{ 0x80000001, 0, ECX, 0x1e1, "LAHF ABM SSE4A misaligned-SSE prefetch" },
	{ 0x80000001, 0, EDX, 0x2e500800, "SYSCALL NX MMXEXT FFXSR 1G-pages RDTSCP LM" },
	{ 0x80000007, 0, EDX, 0x100, "invariant-TSC" },
};

static bool is_filled;

static struct answer *answer_of(u32 leaf, u32 subleaf)
{
	for (u32 i = 0; i < ARRAY_SIZE(answers); i++)
		if (answers[i].leaf == leaf && answers[i].subleaf == subleaf)
			return &answers[i];
	return NULL;
}

static u32 smaller_bytes(u32 a, u32 b)
{
	u32 r = 0;

	for (u32 mask = 0xff; mask; mask <<= 8)
		r |= MIN(a & mask, b & mask);
	return r;
}

static u32 merged(enum merge how, u32 a, u32 b)
{
	switch (how) {
	case A:
		return a & b;
	case M:
		return MIN(a, b);
	case B:
		return smaller_bytes(a, b);
	default:
		return a;
	}
}

/* For a leaf above its last one, the processor may answer with any other. */
static struct cpuid own(u32 leaf, u32 subleaf)
{
	if (leaf > cpuid(leaf & CPUID_EXTENDED, 0).eax)
		return (struct cpuid){ 0, 0, 0, 0 };
	return cpuid(leaf, subleaf);
}

void cpuid_common_add(void)
{
	bool avx_fits = true;

	for (u32 i = 0; i < ARRAY_SIZE(answers); i++) {
		struct answer *a = &answers[i];
		struct cpuid c = own(a->leaf, a->subleaf);
		const u32 reg[NR_REGISTERS] = { c.eax, c.ebx, c.ecx, c.edx };

		/* A state that lies elsewhere cannot be loaded on another CPU. */
		if (is_filled && a->leaf == 0xd && a->subleaf == 2)
			avx_fits = a->common[EAX] == c.eax && a->common[EBX] == c.ebx;
		for (u32 k = 0; k < NR_REGISTERS; k++) {
			a->common[k] = is_filled ? merged(a->merge[k], a->common[k], reg[k]) :
						   reg[k];
			a->any[k] |= reg[k];
		}
	}
	if (!avx_fits)
		answer_of(0xd, 0)->common[EAX] &= ~(u32)XCR0_AVX;
	is_filled = true;
}

struct cpuid cpuid_common(u32 leaf, u32 subleaf)
{
	const struct answer *a = answer_of(leaf, subleaf);

	if (!a || leaf > answer_of(leaf & CPUID_EXTENDED, 0)->common[EAX])
		return (struct cpuid){ 0, 0, 0, 0 };
	return (struct cpuid){ a->common[EAX], a->common[EBX], a->common[ECX], a->common[EDX] };
}

/* Copy the n-th word, with a space in front; returns its length, or 0 if it does not fit. */
static size_t add_word(char *to, size_t size, const char *words, u32 n)
{
	size_t len;

	while (n--)
		words = strchr(words, ' ') + 1;
	len = strchr(words, ' ') ? (size_t)(strchr(words, ' ') - words) : strlen(words);
	if (len + 2 > size)
		return 0;
	*to = ' ';
	memcpy(to + 1, words, len);
	to[len + 1] = '\0';
	return len + 1;
}

void cpuid_common_report(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(named_features); i++) {
		const struct answer *a = answer_of(named_features[i].leaf,
						   named_features[i].subleaf);
		u32 lost = a->any[named_features[i].reg] & ~a->common[named_features[i].reg];
		char text[160] = "";
		size_t used = 0;
		u32 n = 0;

		for (u32 bit = 0; bit < 32; bit++) {
			if (!(named_features[i].bits >> bit & 1))
				continue;
			if (lost >> bit & 1)
				used += add_word(text + used, sizeof(text) - used,
						 named_features[i].names, n);
			n++;
		}
		if (used)
			log_warn("cpu: no guest gets what not every CPU has:%s", text);
	}
}
