/* KVM's paravirtual clock. See kernel/guest/vcpu/kvmclock.h. */
#include <kernel/guest/vcpu/kvmclock.h>

#include <kernel/abi/kvm.h>
#include <kernel/core/clock.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/cpuidcommon.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/msr.h>

#define FEATURE_CLOCKSOURCE BIT(0)
#define FEATURE_NOP_IO_DELAY BIT(1)
#define FEATURE_CLOCKSOURCE2 BIT(3)
#define FEATURE_PV_EOI BIT(6) /* kernel/guest/vcpu/pveoi.c */
#define FEATURE_CLOCKSOURCE_STABLE BIT(24)

#define SYSTEM_TIME_ENABLE BIT(0)
#define TSC_STABLE BIT(0)
#define NS_PER_S 1000000000UL

struct time_info {
	u32 version; /* odd while the record is being updated */
	u32 pad;
	u64 tsc_timestamp, system_time;
	u32 tsc_to_system_mul;
	s8 tsc_shift;
	u8 flags;
	u8 pad2[2];
};
_Static_assert(sizeof(struct time_info) == 32, "msr.rst, pvclock_vcpu_time_info");

struct wall_clock {
	u32 version, sec, nsec;
};
_Static_assert(sizeof(struct wall_clock) == 12, "msr.rst, pvclock_wall_clock");

/* A CPU whose TSC differs from the first one's stays off (kernel/core/tscsync.h). What can still
 * separate them is a rate that changes with the frequency, or a TSC that stops in sleep. */
static bool is_stable(void)
{
	return cpuid_common(0x80000007, 0).edx & CPUID80000007_EDX_TSC_INVARIANT;
}

struct cpuid kvmclock_cpuid(u32 leaf)
{
	if (leaf == KVM_CPUID_BASE) /* "KVMKVMKVM" */
		return (struct cpuid){ KVM_CPUID_LAST, 0x4b4d564b, 0x564b4d56, 0x4d };
	return (struct cpuid){ FEATURE_CLOCKSOURCE | FEATURE_NOP_IO_DELAY | FEATURE_CLOCKSOURCE2 |
				       FEATURE_PV_EOI |
				       (is_stable() ? FEATURE_CLOCKSOURCE_STABLE : 0),
			       0, 0, 0 };
}

/* ns = (ticks << shift) * mul >> 32. */
static void set_rate(struct time_info *t)
{
	u64 mul = clock_ns_mult();

	for (t->tsc_shift = 0; mul >> 32; mul >>= 1)
		t->tsc_shift++;
	t->tsc_to_system_mul = (u32)mul;
}

/* All vCPUs count time from the same moment, the domain's start, by the exact offset of their TSC.
 * So rounding never makes one vCPU see an earlier time than another has already seen, which is what
 * TSC_STABLE promises. */
void kvmclock_update(struct vcpu *v)
{
	gpaddr_t gpa = v->kvmclock & ~SYSTEM_TIME_ENABLE;
	struct time_info t = {
		.version = v->kvmclock_version | 1,
		.tsc_timestamp = v->vm->start_tsc + vcpu_backend->tsc_offset(v),
		.flags = is_stable() ? TSC_STABLE : 0,
	};

	if (!(v->kvmclock & SYSTEM_TIME_ENABLE))
		return;
	set_rate(&t);
	v->kvmclock_version += 2;
	/* If the guest has no memory there, it gets no clock. */
	if (guest_write(&v->vm->memory, gpa, &t, sizeof(t)))
		return;
	(void)!guest_write(&v->vm->memory, gpa, &v->kvmclock_version, sizeof(v->kvmclock_version));
}

static bool is_system_time(u32 msr)
{
	return msr == MSR_KVM_SYSTEM_TIME || msr == MSR_KVM_SYSTEM_TIME_NEW;
}

u64 kvmclock_read_msr(const struct vcpu *v, u32 msr)
{
	return is_system_time(msr) ? v->kvmclock : 0;
}

int kvmclock_write_msr(struct vcpu *v, u32 msr, u64 value)
{
	/* The wall-clock time of the moment from which the system time is counted. */
	u64 start = clock_wall_ns(v->vm->start_ns);
	const struct wall_clock wall = { 2, (u32)(start / NS_PER_S), (u32)(start % NS_PER_S) };

	if (is_system_time(msr)) {
		v->kvmclock = value;
		kvmclock_update(v);
		return 0;
	}
	return guest_write(&v->vm->memory, value, &wall, sizeof(wall)) ? -EINVAL : 0;
}
