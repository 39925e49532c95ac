/* KVM's clock: the time is the same on all vCPUs, whatever their TSCs say.
 * sources: kernel/guest/vcpu/kvmclock.c
 */
#include "test.h"

#include <kernel/abi/kvm.h>
#include <kernel/core/clock.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuidcommon.h>
#include <kernel/guest/vcpu/kvmclock.h>
#include <kernel/guest/vcpu/vcpu.h>

#define NR_VCPUS 4

/* Linux: Documentation/virt/kvm/x86/msr.rst, pvclock_vcpu_time_info. */
struct page {
	u32 version, pad;
	u64 tsc_timestamp, system_time;
	u32 mul;
	s8 shift;
	u8 flags, pad2[2];
};

static struct vm vm;
static struct vcpu vcpus[NR_VCPUS];
static u64 offsets[NR_VCPUS];
static u8 memory[NR_VCPUS * sizeof(struct page)];
static u64 mult;

static bool invariant;

struct cpuid cpuid_common(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	assert_int_equal(leaf, 0x80000007);
	return (struct cpuid){ .edx = invariant ? CPUID80000007_EDX_TSC_INVARIANT : 0 };
}

u64 clock_ns_mult(void)
{
	return mult;
}

u64 clock_wall_ns(u64 ns)
{
	return ns;
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *from, size_t size)
{
	(void)m;
	assert_true(gpa + size <= sizeof(memory));
	memcpy(memory + gpa, from, size);
	return 0;
}

static u64 tsc_offset(const struct vcpu *v)
{
	return offsets[v - vcpus];
}

static const struct vcpu_backend backend = { .tsc_offset = tsc_offset };
const struct vcpu_backend *vcpu_backend = &backend;

static struct page page_of(u32 v)
{
	struct page p;

	memcpy(&p, memory + v * sizeof(p), sizeof(p));
	return p;
}

/* Each vCPU asks for its page. */
static void start(u64 start_tsc, u64 ns_per_tick)
{
	memset(vcpus, 0, sizeof(vcpus));
	vm.start_tsc = start_tsc;
	mult = ns_per_tick;
	for (u32 i = 0; i < NR_VCPUS; i++) {
		vcpus[i].vm = &vm;
		assert_int_equal(kvmclock_write_msr(&vcpus[i], MSR_KVM_SYSTEM_TIME_NEW,
						    i * sizeof(struct page) | 1),
				 0);
	}
}

/* The guest's formula, when the processor's own TSC is `tsc`. */
static u64 time_of(u32 v, u64 tsc)
{
	struct page p = page_of(v);
	u64 ticks = tsc + offsets[v] - p.tsc_timestamp;

	ticks = p.shift < 0 ? ticks >> -p.shift : ticks << p.shift;
	return p.system_time + (u64)((unsigned __int128)ticks * p.mul >> 32);
}

static void the_pages_of_all_vcpus_are_equal(void **state)
{
	struct page first, other;

	(void)state;
	for (u32 i = 0; i < NR_VCPUS; i++)
		offsets[i] = 12345;
	start(1000000007, 1UL << 31 | 12345);
	/* The guest sets one TSC, which starts its page's version again; the rest is as it was. */
	kvmclock_update(&vcpus[2]);
	first = page_of(0);
	assert_int_equal(first.tsc_timestamp, 1000000007 + 12345);
	for (u32 i = 1; i < NR_VCPUS; i++) {
		other = page_of(i);
		assert_int_equal(other.version % 2, 0);
		other.version = first.version;
		assert_memory_equal(&first, &other, sizeof(first));
	}
}

static void no_vcpu_sees_time_behind_anothers(void **state)
{
	u64 last = 0;

	(void)state;
	for (u32 i = 0; i < NR_VCPUS; i++)
		offsets[i] = (u64)rand() << 40 ^ (u64)rand();
	start(5000, 0x5a1b3c7d);
	for (u64 tsc = 5000; tsc < 400000; tsc += 3) {
		u64 now = time_of((u32)rand() % NR_VCPUS, tsc);

		assert_true(now >= last);
		last = now;
	}
	assert_true(last > 0);
	/* A TSC that the guest sets changes nothing. */
	offsets[1] = ~0UL - 77;
	kvmclock_update(&vcpus[1]);
	assert_int_equal(time_of(0, 500000), time_of(1, 500000));
}

/* The pages, and the bit of CPUID that says what their flag means, say "stable" only where the TSC
 * of all CPUs is invariant. */
static void time_is_stable_where_the_tsc_is(void **state)
{
	(void)state;
	for (u32 is = 0; is < 2; is++) {
		invariant = is;
		start(5000, 0x5a1b3c7d);
		for (u32 i = 0; i < NR_VCPUS; i++)
			assert_int_equal(page_of(i).flags, is);
		assert_int_equal(kvmclock_cpuid(KVM_CPUID_BASE + 1).eax >> 24 & 1, is);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_pages_of_all_vcpus_are_equal),
		cmocka_unit_test(no_vcpu_sees_time_behind_anothers),
		cmocka_unit_test(time_is_stable_where_the_tsc_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
