/* sources: $(VLAPIC_SRCS) */
/* The timer of a virtual APIC: how often it interrupts its CPU, and what the guest sees of it. */
#include "test.h"

#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/sched.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/guest/vcpu/vlapictimer.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/msr.h>

#define VECTOR 0x40
#define PERIOD 50000UL

static struct vm vm;
static struct vcpu vcpu;
static u64 now, charged;
static u32 fired; /* interrupts of the CPU */

/* --- what the APIC calls -------------------------------------------------- */

void vcpu_interrupt(struct vcpu *v)
{
	(void)v;
}

void vcpu_nmi(struct vcpu *v)
{
	if (!v->nmi_pending)
		vcpu_interrupt(v);
	v->nmi_pending = true;
}

void vcpu_init_signal(struct vcpu *v)
{
	(void)v;
}

void vcpu_sipi(struct vcpu *v, u8 vector)
{
	(void)v, (void)vector;
}

void sched_charge(struct vcpu *v, u64 ns)
{
	assert_ptr_equal(v, &vcpu);
	charged += ns;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
	t->armed = false;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
	t->deadline_ns = deadline_ns;
	t->armed = true;
}

void timer_cancel(struct timer *t)
{
	t->armed = false;
}

u64 clock_ns(void)
{
	return now;
}

u64 clock_tsc_to_ns(u64 ticks)
{
	return ticks;
}

static u64 read_msr(const struct vcpu *v, u32 msr)
{
	(void)v, (void)msr;
	return now;
}

static const struct vcpu_backend backend = { .read_msr = read_msr };
const struct vcpu_backend *vcpu_backend = &backend;

/* --- the machine ---------------------------------------------------------- */

/* Time passes; the CPU's timer interrupts when it is due. */
static void pass(u64 ns)
{
	struct timer *t = &vcpu.lapic.timer;
	u64 until = now + ns;

	while (t->armed && t->deadline_ns <= until) {
		now = MAX(now, t->deadline_ns);
		t->armed = false;
		fired++;
		t->fn(t);
	}
	now = until;
}

static int offered;

static void enter(void)
{
	offered = vlapic_offer(&vcpu);
	vlapic_timer_before_entry(&vcpu.lapic);
}

static void leave(bool taken)
{
	if (offered >= 0)
		vlapic_settle(&vcpu, (u8)offered, taken);
}

static void write(u32 reg, u64 value)
{
	assert_int_equal(vlapic_write_msr(&vcpu, X2APIC(reg), value), 0);
}

static u32 read_count(void)
{
	u64 value;

	assert_int_equal(vlapic_read_msr(&vcpu, X2APIC(APIC_TIMER_CURRENT), &value), 0);
	return (u32)value;
}

/* A vCPU whose timer has this period, in guest mode. */
static void begin(u32 lvt, u32 period)
{
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.vm = &vm;
	now = 1000000;
	fired = 0;
	charged = 0;
	vlapic_init(&vcpu);
	vlapic_start_in_x2apic_mode(&vcpu);
	write(APIC_SVR, 0x1ff);
	write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	write(APIC_LVT_TIMER, lvt);
	write(APIC_TIMER_INITIAL, period);
	enter();
}

/* --- tests ---------------------------------------------------------------- */

/* A guest that takes each interrupt gets all of them, at the right times. */
static void taken_in_time(void **state)
{
	(void)state;
	begin(LVT_PERIODIC | VECTOR, PERIOD);
	for (u32 i = 1; i <= 1000; i++) {
		pass(PERIOD);
		leave(false);
		enter();
		assert_int_equal(offered, VECTOR);
		assert_int_equal(vcpu.lapic.timer.deadline_ns, 1000000 + (i + 1) * PERIOD);
		leave(true);
		write(APIC_EOI, 0);
		enter();
		assert_int_equal(offered, -1);
	}
	assert_int_equal(fired, 1000);
}

/* A vCPU that does not run costs one interrupt, however long it sleeps. */
static void asleep(void **state)
{
	(void)state;
	begin(LVT_PERIODIC | VECTOR, 1);
	leave(false);
	pass(1000000000);
	assert_int_equal(fired, 1);
	assert_true(vlapic_is_pending(&vcpu.lapic, VECTOR));

	/* When it runs again, the period goes on as if it had run. */
	begin(LVT_PERIODIC | VECTOR, PERIOD);
	leave(false);
	pass(100 * PERIOD + 7);
	assert_int_equal(fired, 1);
	assert_int_equal(read_count(), PERIOD - 7);
	enter();
	assert_int_equal(offered, VECTOR);
	assert_int_equal(vcpu.lapic.timer.deadline_ns, now - 7 + PERIOD);
	leave(true);
	pass(PERIOD);
	assert_int_equal(fired, 2);
}

/* While the last interrupt is pending, there is nothing to raise. */
static void pending(void **state)
{
	(void)state;
	begin(LVT_PERIODIC | VECTOR, PERIOD);
	leave(false);
	write(APIC_TPR, 0xf0);
	for (u32 i = 0; i < 1000; i++) {
		enter();
		pass(PERIOD);
		leave(false);
	}
	assert_int_equal(fired, 1);
	write(APIC_TPR, 0);
	enter();
	assert_int_equal(offered, VECTOR);
	pass(PERIOD);
	assert_int_equal(fired, 2);
}

static void masked(void **state)
{
	(void)state;
	begin(LVT_PERIODIC | LVT_MASKED | VECTOR, PERIOD);
	for (u32 i = 0; i < 1000; i++) {
		pass(PERIOD);
		leave(false);
		enter();
		assert_int_equal(offered, -1);
	}
	assert_true(fired <= 1);
	pass(7);
	assert_int_equal(read_count(), PERIOD - 7);

	/* Unmasked, it goes on at the end of a period. */
	leave(false);
	write(APIC_LVT_TIMER, LVT_PERIODIC | VECTOR);
	enter();
	assert_true(vcpu.lapic.timer.armed);
	assert_int_equal(vcpu.lapic.timer.deadline_ns, now - 7 + PERIOD);
	pass(PERIOD);
	leave(false);
	enter();
	assert_int_equal(offered, VECTOR);
}

/* A guest that takes the interrupt without an exit, and ends it by the paravirtual flag, gets the
 * next one. */
static void without_exits(void **state)
{
	(void)state;
	begin(LVT_PERIODIC | VECTOR, PERIOD);
	for (u32 i = 1; i <= 100; i++) {
		pass(PERIOD); /* an exit */
		assert_int_equal(fired, i);
		leave(true);
		vlapic_end_of_interrupt(&vcpu);
		enter();
		assert_int_equal(offered, VECTOR);
	}
}

/* The shortest period, and what stops a timer that has fired. */
static void limits(void **state)
{
	static const u32 modes[] = { LVT_PERIODIC | VECTOR, VECTOR,
				     (u32)LVT_TSC_DEADLINE | VECTOR };

	(void)state;
	begin(LVT_PERIODIC | VECTOR, 1);
	for (u32 i = 0; i < 1000; i++) {
		pass(1000);
		leave(true);
		vlapic_end_of_interrupt(&vcpu);
		enter();
	}
	assert_true(fired <= 50);
	for (u32 i = 0; i < ARRAY_SIZE(modes); i++) {
		begin(LVT_PERIODIC | VECTOR, PERIOD);
		pass(PERIOD);
		leave(false);
		write(APIC_LVT_TIMER, modes[i]);
		write(APIC_TIMER_INITIAL, 0);
		enter();
		assert_false(vcpu.lapic.timer.armed);
	}
	begin(VECTOR, PERIOD);
	pass(10 * PERIOD);
	leave(false);
	enter();
	assert_int_equal(offered, VECTOR);
	assert_false(vcpu.lapic.timer.armed);
	assert_int_equal(read_count(), 0);
}

static bool is_raised(void)
{
	return vlapic_is_pending(&vcpu.lapic, VECTOR);
}

static u64 deadline(void)
{
	u64 value;

	assert_int_equal(vlapic_read_msr(&vcpu, MSR_TSC_DEADLINE, &value), 0);
	return value;
}

/* SDM vol. 3, 11.5.4.1. The TSC counts nanoseconds here. */
static void deadlines(void **state)
{
	(void)state;
	begin((u32)LVT_TSC_DEADLINE | VECTOR, 0);
	leave(false);
	assert_int_equal(vlapic_write_msr(&vcpu, MSR_TSC_DEADLINE, now + 500), 0);
	/* The divide register is for counts. */
	write(APIC_TIMER_DIVIDE, 3);
	assert_int_equal(deadline(), now + 500);
	pass(499);
	assert_false(is_raised());
	pass(1);
	assert_true(is_raised());
	assert_int_equal(deadline(), 0);

	/* One that has passed fires at once, and no CPU is interrupted for it. */
	begin((u32)LVT_TSC_DEADLINE | VECTOR, 0);
	leave(false);
	assert_int_equal(vlapic_write_msr(&vcpu, MSR_TSC_DEADLINE, now), 0);
	assert_true(is_raised());
	assert_false(vcpu.lapic.timer.armed);
	assert_int_equal(deadline(), 0);
	pass(1000000);
	assert_int_equal(fired, 0);

	begin((u32)LVT_TSC_DEADLINE | LVT_MASKED | VECTOR, 0);
	leave(false);
	assert_int_equal(vlapic_write_msr(&vcpu, MSR_TSC_DEADLINE, 1), 0);
	assert_false(is_raised());

	/* 0 disarms. */
	begin((u32)LVT_TSC_DEADLINE | VECTOR, 0);
	leave(false);
	assert_int_equal(vlapic_write_msr(&vcpu, MSR_TSC_DEADLINE, now + 500), 0);
	assert_int_equal(vlapic_write_msr(&vcpu, MSR_TSC_DEADLINE, 0), 0);
	pass(1000000);
	assert_int_equal(fired, 0);
	assert_false(is_raised());
}

/* SDM vol. 3, 11.4.7.2: what comes meanwhile is lost, what has come before stays. */
static void disabled(void **state)
{
	(void)state;
	begin(VECTOR, 0);
	leave(false);
	vlapic_deliver(&vcpu, VECTOR);
	write(APIC_SVR, 0xff);
	vlapic_deliver(&vcpu, VECTOR + 1);
	enter();
	assert_int_equal(offered, -1);
	leave(false);
	write(APIC_SVR, 0x3ff);
	enter();
	assert_int_equal(offered, VECTOR);
	leave(true);
	write(APIC_EOI, 0);
	enter();
	assert_int_equal(offered, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(taken_in_time), cmocka_unit_test(asleep),
		cmocka_unit_test(pending),	 cmocka_unit_test(masked),
		cmocka_unit_test(without_exits), cmocka_unit_test(limits),
		cmocka_unit_test(deadlines),	 cmocka_unit_test(disabled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
