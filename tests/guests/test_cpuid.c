#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#define CR4_OSXSAVE (1UL << 18)

void test_cpuid(void)
{
	struct cpuid r = cpuid(0, 0), x;
	u32 highest = r.eax, nr;
	u64 cr4;

	CHECK("cpuid: standard leaves reach the topology", highest >= 0xb);
	r = cpuid(1, 0);
	nr = r.ebx >> 16 & 0xff;
	if (under_weir) {
		CHECK("cpuid: hypervisor bit", r.ecx >> 31);
		x = cpuid(WEIR_CPUID_BASE, 0);
		CHECK("cpuid: Weir's signature",
		      x.ebx == WEIR_CPUID_EBX && x.ecx == WEIR_CPUID_EBX && x.edx == WEIR_CPUID_EBX);
		CHECK_EQ("cpuid: ABI version", cpuid(WEIR_CPUID_BASE + 1, 0).eax, WEIR_ABI_VERSION);
		CHECK("cpuid: TSC rate", tsc_khz > 100000);
		CHECK_EQ("cpuid: APIC timer rate", cpuid(WEIR_CPUID_BASE + 0x10, 0).ebx, 1000000);
		CHECK("cpuid: no MONITOR", !(r.ecx & 1u << 3));
		CHECK("cpuid: no SVM", !(cpuid(0x80000001, 0).ecx & 1u << 2));
		CHECK("cpuid: TSC deadline timer", r.ecx & 1u << 24);
		CHECK_EQ("cpuid: nothing in the SVM leaf", cpuid(0x8000000a, 0).edx, 0);
		CHECK_EQ("cpuid: nothing behind the last hypervisor leaf",
			 cpuid(WEIR_CPUID_BASE + 0x11, 0).eax, 0);
	}
	CHECK("cpuid: no VMX", !(r.ecx & 1u << 5));
	CHECK("cpuid: x2APIC", r.ecx & 1u << 21);
	CHECK_EQ("cpuid: initial APIC id", r.ebx >> 24, 0);
	CHECK("cpuid: long mode, NX, SYSCALL", (cpuid(0x80000001, 0).edx & 0x20100800) == 0x20100800);

	x = cpuid(0xb, 0);
	CHECK_EQ("cpuid: topology, thread level", x.ecx >> 8 & 0xff, 1);
	CHECK_EQ("cpuid: topology, x2APIC id", x.edx, 0);
	x = cpuid(0xb, 1);
	CHECK_EQ("cpuid: topology, core level", x.ecx >> 8 & 0xff, 2);
	if (under_weir)
		CHECK_EQ("cpuid: topology agrees with leaf 1", x.ebx, nr);
	CHECK_EQ("cpuid: topology ends", cpuid(0xb, 2).ecx >> 8 & 0xff, 0);

	if (!(r.ecx & 1u << 26))
		return;
	__asm__("mov %%cr4, %0" : "=r"(cr4));
	CHECK("cpuid: OSXSAVE follows CR4, off", !(cpuid(1, 0).ecx & 1u << 27));
	__asm__ volatile("mov %0, %%cr4" ::"r"(cr4 | CR4_OSXSAVE));
	CHECK("cpuid: OSXSAVE follows CR4, on", cpuid(1, 0).ecx & 1u << 27);
	x = cpuid(0xd, 0);
	__asm__ volatile("xsetbv" ::"c"(0), "a"(x.eax & 7), "d"(0));
	x = cpuid(0xd, 0);
	CHECK_EQ("cpuid: XSAVE area for all of XCR0", x.ebx, x.ecx);
	__asm__ volatile("xsetbv" ::"c"(0), "a"(1), "d"(0));
	CHECK_EQ("cpuid: XSAVE area for x87 only", cpuid(0xd, 0).ebx, 576);
	TRY("xsetbv", "+m"(x) : "c"(0), "a"(0), "d"(0));
	CHECK_EQ("cpuid: XCR0 without x87 is #GP", caught.vector, 13);
	TRY("xsetbv", "+m"(x) : "c"(0), "a"(5), "d"(0));
	CHECK_EQ("cpuid: XCR0 with AVX but no SSE is #GP", caught.vector, 13);
	TRY("xsetbv", "+m"(x) : "c"(1), "a"(1), "d"(0));
	CHECK_EQ("cpuid: XCR1 is #GP", caught.vector, 13);
}
