/* sources: $(VLAPIC_SRCS) kernel/guest/vcpu/pveoi.c */
/* The virtual APIC and the paravirtual EOI beside a model of a real APIC: a guest takes the offered
 * interrupts, ends them by an EOI or by the flag in its memory, and exits at random. No interrupt
 * may be lost, delivered out of order, or left waiting for an EOI that Weir does not see. */
#include "test.h"

#include <kernel/lib/errno.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/guest/vcpu/pveoi.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/x86/apic.h>

#define FLAG_ADDRESS 0x1004

static struct vm vm;
static struct vcpu vcpu;

/* --- what the APIC calls -------------------------------------------------- */

static u8 flag; /* the guest's memory */
static bool no_memory;

int guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len)
{
	(void)m;
	assert_true(gpa == FLAG_ADDRESS && len == 1);
	*(u8 *)buf = flag;
	return no_memory ? -EFAULT : 0;
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	(void)m;
	assert_true(gpa == FLAG_ADDRESS && len == 1);
	if (no_memory)
		return -EFAULT;
	flag = *(const u8 *)buf;
	return 0;
}

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

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	(void)t, (void)fn;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
	(void)t, (void)deadline_ns;
}

void timer_cancel(struct timer *t)
{
	(void)t;
}

void sched_charge(struct vcpu *v, u64 ns)
{
	(void)v, (void)ns;
}

u64 clock_ns(void)
{
	return 0;
}

u64 clock_tsc_to_ns(u64 ticks)
{
	return ticks;
}

const struct vcpu_backend *vcpu_backend;

/* --- what a real APIC would have ------------------------------------------ */

static bool irr[256], isr[256];
static u32 tpr;

static int highest(const bool *bits)
{
	for (int i = 255; i >= 0; i--)
		if (bits[i])
			return i;
	return -1;
}

static int deliverable(void)
{
	int vector = highest(irr), in_service = highest(isr);
	u32 served = in_service < 0 ? 0 : (u32)in_service >> 4;

	return vector >= 0 && (u32)vector >> 4 > MAX(served, tpr >> 4) ? vector : -1;
}

/* --- the guest, as the processor runs it ---------------------------------- */

static int offered, taken; /* vectors, or -1; taken: the offered vector after the guest took it */
static u32 quiet_eois, loud_eois;

static void enter(void)
{
	offered = vlapic_offer(&vcpu);
	taken = -1;
	assert_int_equal(offered, deliverable());
	pveoi_before_entry(&vcpu, offered);
}

/* An exit: now Weir knows all that a real APIC would know. */
static void leave(void)
{
	if (taken >= 0)
		vlapic_settle(&vcpu, (u8)taken, true);
	else if (offered >= 0)
		vlapic_settle(&vcpu, (u8)offered, false);
	pveoi_after_exit(&vcpu);
	for (u32 i = 0; i < 256; i++) {
		assert_int_equal(vcpu.lapic.irr[i / 32] >> i % 32 & 1, irr[i]);
		assert_int_equal(vcpu.lapic.isr[i / 32] >> i % 32 & 1, isr[i]);
	}
}

static void take(void)
{
	if (offered < 0)
		return;
	irr[offered] = false;
	isr[offered] = true;
	taken = offered;
	offered = -1;
}

static void end(void)
{
	int vector = highest(isr);

	if (vector < 0)
		return;
	isr[vector] = false;
	if (!no_memory && (flag & 1)) {
		flag = 0;
		quiet_eois++;
		/* No other interrupt waited for this EOI. */
		assert_int_equal(offered, deliverable());
		return;
	}
	isr[vector] = true;
	leave();
	isr[vector] = false;
	loud_eois++;
	assert_int_equal(vlapic_write_msr(&vcpu, X2APIC(APIC_EOI), 0), 0);
	enter();
}

/* From a device or another CPU, which makes the guest exit. */
static void deliver(void)
{
	u8 vector = (u8)(16 + rand() % 240);

	vlapic_deliver(&vcpu, vector);
	irr[vector] = true;
	leave();
	enter();
}

static void set_tpr(void)
{
	leave();
	tpr = rand() % 2 ? 0 : (u32)rand() % 256;
	assert_int_equal(vlapic_write_msr(&vcpu, X2APIC(APIC_TPR), tpr), 0);
	enter();
}

static void switch_pv_eoi(void)
{
	leave();
	assert_int_equal(pveoi_write_msr(&vcpu, rand() % 4 ? FLAG_ADDRESS | 1 : 0), 0);
	/* When off, the guest never sees the flag set. */
	assert_true(vcpu.lapic.pv_eoi || no_memory || !flag);
	enter();
}

/* The guest releases the page or populates it again, but not while the flag is set or has just been
 * used for an EOI. */
static void change_memory(void)
{
	leave();
	if (no_memory || !flag)
		no_memory = rand() % 4 == 0;
	enter();
}

static void be_interrupted(void)
{
	leave();
	enter();
}

/* --- tests ---------------------------------------------------------------- */

static void begin(void)
{
	memset(irr, 0, sizeof(irr));
	memset(isr, 0, sizeof(isr));
	memset(&vcpu, 0, sizeof(vcpu));
	tpr = quiet_eois = loud_eois = 0;
	flag = 0;
	no_memory = false;
	vcpu.vm = &vm;
	vlapic_init(&vcpu);
	vlapic_start_in_x2apic_mode(&vcpu);
	assert_int_equal(vlapic_write_msr(&vcpu, X2APIC(APIC_SVR), 0x1ff), 0);
	assert_int_equal(pveoi_write_msr(&vcpu, FLAG_ADDRESS | 1), 0);
	enter();
}

static void random_steps(void **state)
{
	static void (*const step[])(void) = {
		take, take, take, end, end, end, end, deliver, be_interrupted, be_interrupted
	};

	(void)state;
	srand(test_seed());
	begin();
	for (u32 i = 0; i < 1000000; i++) {
		u32 n = (u32)rand() % 1000;

		if (n < 10)
			set_tpr();
		else if (n < 12)
			switch_pv_eoi();
		else if (n < 14)
			change_memory();
		else
			step[n % ARRAY_SIZE(step)]();
	}
	printf("%u EOIs by the flag, %u by writing\n", quiet_eois, loud_eois);
	assert_true(quiet_eois > 1000 && loud_eois > 1000);
}

/* In succession, none needs an explicit EOI. */
static void one_at_a_time(void **state)
{
	(void)state;
	begin();
	for (u32 i = 0; i < 100; i++) {
		deliver();
		take();
		be_interrupted();
		end();
	}
	assert_int_equal(quiet_eois, 100);
	assert_int_equal(loud_eois, 0);
}

static void reserved_bit(void **state)
{
	(void)state;
	begin();
	assert_int_equal(pveoi_write_msr(&vcpu, FLAG_ADDRESS | 3), -EINVAL);
	assert_int_equal(vcpu.lapic.pv_eoi, FLAG_ADDRESS | 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_steps),
		cmocka_unit_test(one_at_a_time),
		cmocka_unit_test(reserved_bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
