/* KVM's clock on several vCPUs: they agree on the time. */
#include <tests/guests/guest.h>

#include <kernel/abi/kvm.h>

#define MAX_VCPUS 16
#define STEPS 100000
#define KVM_FEATURES 0x40000101u
#define FEATURE_STABLE BIT(24)

/* Linux: Documentation/virt/kvm/x86/msr.rst, pvclock_vcpu_time_info. */
static volatile struct page {
	u32 version, pad;
	u64 tsc_timestamp, system_time;
	u32 mul;
	s8 shift;
	u8 flags, pad2[2];
} pages[MAX_VCPUS] __aligned(64);

static volatile u32 done, behind;
static volatile u64 latest;

static u64 now(u32 id)
{
	const volatile struct page *p = &pages[id];
	u64 ticks = rdtsc_ordered() - p->tsc_timestamp;

	ticks = p->shift < 0 ? ticks >> -p->shift : ticks << p->shift;
	return p->system_time + (u64)((unsigned __int128)ticks * p->mul >> 32);
}

/* The time that this vCPU sees is never behind what another has seen and told before. */
static void compare(void)
{
	u32 id = (u32)rdmsr(X2APIC(APIC_ID)) % MAX_VCPUS;

	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (u64)&pages[id] | 1);
	for (u32 i = 0; i < STEPS; i++) {
		u64 told = __atomic_load_n(&latest, __ATOMIC_SEQ_CST), time = now(id);

		if (time < told)
			atomic_add(&behind, 1);
		while (told < time && !atomic_cmpxchg(&latest, &told, time))
			cpu_relax();
	}
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, 0);
	atomic_add(&done, 1);
}

static bool agree(u32 nr)
{
	bool same = true;

	for (u32 i = 1; i < nr; i++)
		same &= pages[i].tsc_timestamp == pages[0].tsc_timestamp &&
			pages[i].system_time == pages[0].system_time &&
			pages[i].mul == pages[0].mul && pages[i].shift == pages[0].shift &&
			pages[i].flags == pages[0].flags;
	return same;
}

void test_clock(void)
{
	bool invariant = cpuid(0x80000007, 0).edx & CPUID80000007_EDX_TSC_INVARIANT;
	u32 nr = under_weir ? cpuid(0xb, 1).ebx : 1;
	u64 end;

	if (nr < 2 || nr > MAX_VCPUS) {
		print("clock: only one CPU\n");
		return;
	}
	CHECK("clock: the others are there", smp_start(compare));
	compare();
	end = rdtsc_ordered() + 20000 * (tsc_khz ? tsc_khz : 2000000);
	while (done < nr && rdtsc_ordered() < end)
		cpu_relax();
	CHECK_EQ("clock: all have compared", done, nr);
	CHECK("clock: the pages of all vCPUs agree", pages[0].mul && agree(nr));
	CHECK_EQ("clock: none is behind another", behind, 0);
	CHECK("clock: stable where the TSC is",
	      (pages[0].flags & 1) == invariant &&
		      !(cpuid(KVM_FEATURES, 0).eax & FEATURE_STABLE) == !invariant);
	wrmsr(X2APIC(APIC_ICR), ICR_ALL_BUT_SELF | ICR_INIT | ICR_ASSERT);
}
