/* The timer of a virtual local APIC (SDM vol. 3, 11.5.4).
 *
 * A periodic timer is armed for one period at a time: by the entry that follows the last interrupt.
 * So it costs the CPU at most one interrupt for each run of its vCPU, however short the period is
 * and however many vCPUs sleep. A guest cannot tell: interrupts that it does not take in time are
 * one interrupt, and the count is computed from the time.
 */
#include <kernel/guest/vcpu/vlapictimer.h>

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/sched.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/x86/msr.h>

/* The shortest period. A faster timer would leave the guest no time for anything else. */
#define MIN_PERIOD_NS 20000UL

#define TIMER_MODE MASK(18, 17)

enum vlapic_timer_mode vlapic_timer_mode(const struct vlapic *a)
{
	return (enum vlapic_timer_mode)FIELD_GET(TIMER_MODE, a->lvt_timer);
}

/* Nanoseconds per count: bits 3, 1 and 0 of the divide register select 2, 4 to 128, or 1. */
static u64 ns_per_count(const struct vlapic *a)
{
	u32 code = (a->timer_divide & 3) | (a->timer_divide & 8) >> 1;

	_Static_assert(VLAPIC_TIMER_HZ == 1000000000UL, "one nanosecond a tick");
	return 1UL << ((code + 1) & 7);
}

static u64 period_ns(const struct vlapic *a)
{
	return MAX(a->timer_initial * ns_per_count(a),
		   vlapic_timer_mode(a) == VLAPIC_PERIODIC ? MIN_PERIOD_NS : 1UL);
}

void vlapic_timer_start(struct vlapic *a)
{
	a->timer_lapsed = false;
	if (!a->timer_initial || vlapic_timer_mode(a) == VLAPIC_TSC_DEADLINE) {
		timer_cancel(&a->timer);
		return;
	}
	a->timer_start_ns = clock_ns();
	timer_set(&a->timer, a->timer_start_ns + period_ns(a));
}

void vlapic_timer_set_divide(struct vlapic *a, u32 divide)
{
	a->timer_divide = divide;
	if (vlapic_timer_mode(a) != VLAPIC_TSC_DEADLINE && (a->timer.armed || a->timer_lapsed))
		vlapic_timer_start(a);
}

/* The timer has reached zero, or its deadline. */
static void raise(struct vcpu *v)
{
	struct vlapic *a = &v->lapic;

	a->tsc_deadline = 0;
	if (!(a->lvt_timer & VLAPIC_LVT_MASKED))
		vlapic_deliver(v, a->lvt_timer & VLAPIC_LVT_VECTOR);
}

void vlapic_timer_set_deadline(struct vcpu *v, u64 deadline)
{
	struct vlapic *a = &v->lapic;
	u64 now = vcpu_backend->read_msr(v, MSR_TSC);

	a->tsc_deadline = deadline;
	if (deadline > now) {
		timer_set(&a->timer, clock_ns() + clock_tsc_to_ns(deadline - now));
		return;
	}
	timer_cancel(&a->timer);
	if (deadline)
		raise(v);
}

u32 vlapic_timer_count(const struct vlapic *a)
{
	u64 elapsed = clock_ns() - a->timer_start_ns, counts = elapsed / ns_per_count(a);

	if (!a->timer_initial || vlapic_timer_mode(a) == VLAPIC_TSC_DEADLINE)
		return 0;
	if (vlapic_timer_mode(a) == VLAPIC_PERIODIC)
		counts %= a->timer_initial;
	return counts >= a->timer_initial ? 0 : a->timer_initial - (u32)counts;
}

void vlapic_timer_before_entry(struct vlapic *a)
{
	u64 period;

	if (!a->timer_lapsed || (a->lvt_timer & VLAPIC_LVT_MASKED) ||
	    vlapic_is_pending(a, a->lvt_timer & VLAPIC_LVT_VECTOR))
		return;
	a->timer_lapsed = false;
	/* Missed periods are not made up for. */
	period = period_ns(a);
	a->timer_start_ns += period * ((clock_ns() - a->timer_start_ns) / period);
	timer_set(&a->timer, a->timer_start_ns + period);
}

static void timer_fired(struct timer *t)
{
	struct vlapic *a = container_of(t, struct vlapic, timer);
	struct vcpu *v = container_of(a, struct vcpu, lapic);
	u64 begin = clock_ns();

	a->timer_lapsed = vlapic_timer_mode(a) == VLAPIC_PERIODIC && a->timer_initial;
	write_once(&v->attention, true);
	raise(v);
	sched_charge(v, clock_ns() - begin);
}

void vlapic_timer_init(struct vlapic *a)
{
	timer_init(&a->timer, timer_fired);
}
