#include <tests/guests/guest.h>

#define EFER 0xc0000080
#define PAT 0x277

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

	CHECK_EQ("msr: reading one that does not exist is #GP", try_rdmsr(0x12345678, &value), 13);
	CHECK_EQ("msr: and its error code is 0", caught.error, 0);
	CHECK_EQ("msr: writing one that does not exist is #GP", try_wrmsr(0x12345678, 0), 13);

	CHECK_EQ("msr: EFER has LME, LMA, NXE", rdmsr(EFER) & 0xd00, 0xd00);
	CHECK_EQ("msr: a reserved bit in EFER is #GP", try_wrmsr(EFER, rdmsr(EFER) | 1UL << 9), 13);
	CHECK_EQ("msr: clearing LME while paging is #GP", try_wrmsr(EFER, rdmsr(EFER) & ~0x100UL), 13);
	CHECK_EQ("msr: EFER.SCE can be set", try_wrmsr(EFER, rdmsr(EFER) | 1), NONE);
	CHECK_EQ("msr: EFER.SCE stays", rdmsr(EFER) & 1, 1);
	if (under_weir) {
		CHECK_EQ("msr: EFER.SVME is not shown", rdmsr(EFER) & 1UL << 12, 0);
		CHECK_EQ("msr: EFER.SVME cannot be set", try_wrmsr(EFER, rdmsr(EFER) | 1UL << 12), 13);
		CHECK_EQ("msr: VM_HSAVE_PA cannot be seen", try_rdmsr(0xc0010117, &value), 13);
	}

	round_trip("msr: PAT", PAT, 0x0001040500070406UL);
	CHECK_EQ("msr: a reserved type in PAT is #GP", try_wrmsr(PAT, 0x0007040600070403UL), 13);
	round_trip("msr: FS base", 0xc0000100, 0x123456789000UL);
	round_trip("msr: GS base", 0xc0000101, 0x223456789000UL);
	round_trip("msr: kernel GS base", 0xc0000102, 0x323456789000UL);
	round_trip("msr: LSTAR", 0xc0000082, 0xffffffff80001000UL);
	round_trip("msr: STAR", 0xc0000081, 0x0018000800000000UL);
	round_trip("msr: SYSENTER_EIP", 0x176, 0x401000);

	before = rdtsc();
	wrmsr(0x10, before + (1UL << 40));
	value = rdtsc();
	CHECK("msr: the TSC can be set",
	      value - before >= 1UL << 40 && value - before < (1UL << 40) + (1UL << 36));
	wrmsr(0x10, rdtsc() - (1UL << 40));
	CHECK("msr: the TSC MSR is the TSC", rdmsr(0x10) - rdtsc() + (1UL << 32) < 1UL << 33);
}
