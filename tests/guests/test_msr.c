/* MSRs that exist, MSRs that do not, and values that EFER and PAT reject. */
#include <tests/guests/guest.h>

#include <kernel/abi/kvm.h>

static void round_trip(const char *name, u32 msr, u64 value)
{
	u64 old = rdmsr(msr), seen;

	wrmsr(msr, value);
	seen = rdmsr(msr);
	wrmsr(msr, old);
	CHECK_EQ(name, seen, value);
}

void test_msr(void)
{
	u64 value, before;

	CHECK_EQ("msr: reading one that does not exist is #GP", try_rdmsr(0x12345678, &value),
		 EXC_GP);
	CHECK_EQ("msr: and its error code is 0", caught.error, 0);
	CHECK_EQ("msr: writing one that does not exist is #GP", try_wrmsr(0x12345678, 0), EXC_GP);

	CHECK_EQ("msr: EFER has LME, LMA, NXE", rdmsr(MSR_EFER) & (EFER_LME | EFER_LMA | EFER_NXE),
		 EFER_LME | EFER_LMA | EFER_NXE);
	CHECK_EQ("msr: a reserved bit in EFER is #GP",
		 try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) | 1UL << 9), EXC_GP);
	CHECK_EQ("msr: clearing LME while paging is #GP",
		 try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_LME), EXC_GP);
	CHECK_EQ("msr: EFER.SCE can be set", try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SCE), NONE);
	CHECK_EQ("msr: EFER.SCE stays", rdmsr(MSR_EFER) & EFER_SCE, EFER_SCE);
	if (under_weir) {
		CHECK_EQ("msr: EFER.SVME is not shown", rdmsr(MSR_EFER) & EFER_SVME, 0);
		CHECK_EQ("msr: EFER.SVME cannot be set",
			 try_wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME), EXC_GP);
		CHECK_EQ("msr: VM_HSAVE_PA cannot be seen", try_rdmsr(MSR_VM_HSAVE_PA, &value),
			 EXC_GP);
	}

	round_trip("msr: PAT", MSR_PAT, 0x0001040500070406UL);
	CHECK_EQ("msr: a reserved type in PAT is #GP", try_wrmsr(MSR_PAT, 0x0007040600070403UL),
		 EXC_GP);
	round_trip("msr: FS base", MSR_FS_BASE, 0x123456789000UL);
	round_trip("msr: GS base", MSR_GS_BASE, 0x223456789000UL);
	round_trip("msr: kernel GS base", MSR_KERNEL_GS_BASE, 0x323456789000UL);
	round_trip("msr: LSTAR", MSR_LSTAR, 0xffffffff80001000UL);
	round_trip("msr: STAR", MSR_STAR, 0x0018000800000000UL);
	round_trip("msr: SYSENTER_EIP", MSR_SYSENTER_EIP, 0x401000);

	if (under_weir) {
		static volatile u32 clock[8] __aligned(32);

		CHECK_EQ("msr: KVM's clock by its first number",
			 try_wrmsr(MSR_KVM_SYSTEM_TIME, (u64)clock | 1), NONE);
		CHECK("msr: the time is stored", clock[0] && !(clock[0] & 1));
		wrmsr(MSR_KVM_SYSTEM_TIME, 0);
	}

	before = rdtsc_ordered();
	wrmsr(MSR_TSC, before + (1UL << 40));
	value = rdtsc_ordered();
	CHECK("msr: the TSC can be set",
	      value - before >= 1UL << 40 && value - before < (1UL << 40) + (1UL << 36));
	wrmsr(MSR_TSC, rdtsc_ordered() - (1UL << 40));
	CHECK("msr: the TSC MSR is the TSC",
	      rdmsr(MSR_TSC) - rdtsc_ordered() + (1UL << 32) < 1UL << 33);
}
