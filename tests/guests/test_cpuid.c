/* CPUID: features that are offered, features that are hidden; and XCR0. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#define NEEDED (CPUID80000001_EDX_LM | CPUID80000001_EDX_NX | CPUID80000001_EDX_SYSCALL)

/* A bit of CR4 whose feature CPUID hides is reserved. */
static void hidden_bits_of_cr4(void)
{
	static const u64 hidden[] = { CR4_LA57, CR4_VMXE,	    CR4_PCIDE,	      CR4_PKE,
				      CR4_CET,	BIT(14) /* SMXE */, BIT(0) /* VME */, BIT(63) };
	u64 cr4 = read_cr4();
	u32 refused = 0;

	for (u32 i = 0; i < ARRAY_SIZE(hidden); i++) {
		TRY("movq %[value], %%cr4", "+m"(refused) : [value] "r"(cr4 | hidden[i]));
		refused += caught.vector == EXC_GP && !caught.error;
	}
	CHECK_EQ("cpuid: hidden bits of CR4 are #GP", refused, ARRAY_SIZE(hidden));
	TRY("movq %[value], %%cr4", "+m"(refused) : [value] "r"(cr4 & ~CR4_PAE));
	CHECK_EQ("cpuid: CR4 without PAE in long mode is #GP", caught.vector, EXC_GP);
	CHECK_EQ("cpuid: CR4 is unchanged", read_cr4(), cr4);
	write_cr4(cr4 ^ CR4_PGE);
	CHECK_EQ("cpuid: CR4 can be written", read_cr4(), cr4 ^ CR4_PGE);
	write_cr4(cr4);
}

void test_cpuid(void)
{
	struct cpuid r = cpuid(0, 0), x;
	u32 highest = r.eax, nr;
	u64 cr4;

	CHECK("cpuid: standard leaves reach the topology", highest >= 0xb);
	r = cpuid(1, 0);
	x = cpuid(1, 0x12345678);
	CHECK("cpuid: ECX does not matter for leaf 1", x.ecx == r.ecx && x.edx == r.edx);
	nr = r.edx & CPUID1_EDX_HTT ? r.ebx >> 16 & 0xff : 1;
	if (under_weir) {
		CHECK("cpuid: hypervisor bit", r.ecx & CPUID1_ECX_HYPERVISOR);
		x = cpuid(WEIR_CPUID_BASE, 0);
		CHECK("cpuid: Weir's signature", x.ebx == WEIR_CPUID_EBX &&
							 x.ecx == WEIR_CPUID_EBX &&
							 x.edx == WEIR_CPUID_EBX);
		CHECK_EQ("cpuid: ABI version", cpuid(WEIR_CPUID_BASE + 1, 0).eax, WEIR_ABI_VERSION);
		CHECK("cpuid: TSC rate", tsc_khz > 100000);
		CHECK_EQ("cpuid: APIC timer rate", cpuid(WEIR_CPUID_TIMING, 0).ebx, 1000000);
		CHECK("cpuid: no MONITOR", !(r.ecx & CPUID1_ECX_MONITOR));
		CHECK("cpuid: no SVM", !(cpuid(0x80000001, 0).ecx & CPUID80000001_ECX_SVM));
		CHECK("cpuid: TSC deadline timer", r.ecx & CPUID1_ECX_TSC_DEADLINE);
		CHECK_EQ("cpuid: nothing in the SVM leaf", cpuid(0x8000000a, 0).edx, 0);
		CHECK_EQ("cpuid: nothing after the last hypervisor leaf",
			 cpuid(WEIR_CPUID_BASE + 0x11, 0).eax, 0);
	}
	CHECK("cpuid: no VMX", !(r.ecx & CPUID1_ECX_VMX));
	CHECK("cpuid: x2APIC", r.ecx & CPUID1_ECX_X2APIC);
	CHECK_EQ("cpuid: initial APIC id", r.ebx >> 24, 0);
	CHECK("cpuid: long mode, NX, SYSCALL", (cpuid(0x80000001, 0).edx & NEEDED) == NEEDED);

	if (under_weir)
		hidden_bits_of_cr4();
	x = cpuid(0xb, 0);
	CHECK_EQ("cpuid: topology, thread level", FIELD_GET(CPUIDB_ECX_LEVEL, x.ecx),
		 CPUIDB_LEVEL_THREAD);
	CHECK_EQ("cpuid: topology, x2APIC id", x.edx, 0);
	x = cpuid(0xb, 1);
	CHECK_EQ("cpuid: topology, core level", FIELD_GET(CPUIDB_ECX_LEVEL, x.ecx),
		 CPUIDB_LEVEL_CORE);
	CHECK_EQ("cpuid: topology agrees with leaf 1", x.ebx, nr);
	CHECK_EQ("cpuid: topology ends", FIELD_GET(CPUIDB_ECX_LEVEL, cpuid(0xb, 2).ecx), 0);

	if (!(r.ecx & CPUID1_ECX_XSAVE))
		return;
	cr4 = read_cr4();
	CHECK("cpuid: OSXSAVE follows CR4, off", !(cpuid(1, 0).ecx & CPUID1_ECX_OSXSAVE));
	write_cr4(cr4 | CR4_OSXSAVE);
	CHECK("cpuid: OSXSAVE follows CR4, on", cpuid(1, 0).ecx & CPUID1_ECX_OSXSAVE);
	x = cpuid(0xd, 0);
	write_xcr0(x.eax & (XCR0_X87 | XCR0_SSE | XCR0_AVX));
	x = cpuid(0xd, 0);
	CHECK_EQ("cpuid: XSAVE area for all of XCR0", x.ebx, x.ecx);
	write_xcr0(XCR0_X87);
	CHECK_EQ("cpuid: XSAVE area for x87 only", cpuid(0xd, 0).ebx, 576);
	TRY("xsetbv", "+m"(x) : "c"(0), "a"(0), "d"(0));
	CHECK_EQ("cpuid: XCR0 without x87 is #GP", caught.vector, EXC_GP);
	TRY("xsetbv", "+m"(x) : "c"(0), "a"(XCR0_X87 | XCR0_AVX), "d"(0));
	CHECK_EQ("cpuid: XCR0 with AVX but no SSE is #GP", caught.vector, EXC_GP);
	TRY("xsetbv", "+m"(x) : "c"(1), "a"(XCR0_X87), "d"(0));
	CHECK_EQ("cpuid: XCR1 is #GP", caught.vector, EXC_GP);
}
