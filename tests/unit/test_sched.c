/* sources: kernel/guest/vcpu/sched.c kernel/guest/vcpu/vcpustate.c $(VLAPIC_SRCS) */
/* The scheduler and the states of vCPUs: two CPUs and their vCPUs. CPU 1 runs a bystander of high
 * priority. A guest on CPU 0 sends signals without end to its own vCPUs on CPU 1, and that CPU must
 * be interrupted for changes only. */
#include "test.h"

#include <kernel/core/background.h>
#include <kernel/core/irq.h>
#include <kernel/core/work.h>
#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/entry.h>
#include <kernel/guest/vcpu/sched.h>
#include <kernel/guest/vcpu/vcpustate.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/control.h>

#include <asm/prctl.h>
#include <setjmp.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct cpu cpu[2];
static u32 kicks[2]; /* interrupts sent to each CPU */

/* The code that follows runs on this CPU: this_cpu() reads GS. */
static void on(u32 id)
{
	cpu[id].self = &cpu[id];
	cpu[id].id = id;
	assert_int_equal(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu[id]), 0);
}

/* --- what the scheduler calls --------------------------------------------- */

void irq_send(u32 id, int vector)
{
	(void)vector;
	kicks[id]++;
}

static jmp_buf idle;

void irq_wait(void)
{
	longjmp(idle, 1);
}

void irq_window(void)
{
}

void irq_set_fixed(int vector, void (*handler)(void *arg), void *arg)
{
	(void)vector, (void)handler, (void)arg;
}

bool work_run(void)
{
	return false;
}

bool background_run(void)
{
	return false;
}

void background_wait(void (*wait)(void))
{
	wait();
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
	(void)t, (void)deadline_ns;
}

void timer_cancel(struct timer *t)
{
	(void)t;
}

static u64 now;

u64 clock_ns(void)
{
	return now;
}

u64 clock_tsc_to_ns(u64 ticks)
{
	return ticks;
}

void vcpu_load(struct vcpu *v)
{
	(void)v;
}

void vcpu_unload(struct vcpu *v)
{
	(void)v;
}

void vcpu_reset(struct vcpu *v)
{
	vlapic_init(v);
}

bool emulator_found;

void emulator_send_pending_again(void)
{
}

/* --- guests --------------------------------------------------------------- */

static struct vm vm, other_vm;
static struct vcpu attacker, victim, bystander;
static void (*while_it_runs)(void); /* on CPU 0, while a vCPU of CPU 1 is in guest mode */
static const struct vcpu *entered; /* the last one */

static void enter(struct vcpu *v)
{
	entered = v;
	v->tlb.in_guest = true;
	if (while_it_runs) {
		on(0);
		while_it_runs();
		on(1);
	}
	v->tlb.in_guest = false;
}

static void set_sipi(struct vcpu *v, u8 vector)
{
	(void)v, (void)vector;
}

static void set_entry(struct vcpu *v, const struct guest_entry *entry)
{
	(void)v, (void)entry;
}

static const struct vcpu_backend backend = {
	.enter = enter,
	.set_sipi = set_sipi,
	.set_entry = set_entry,
};
const struct vcpu_backend *vcpu_backend = &backend;

static void leave(struct vcpu *v)
{
	(void)v;
	longjmp(idle, 1);
}

/* Let CPU 1 enter the next vCPU once, or be idle, while `script` runs on CPU 0. */
static void run(void (*script)(void))
{
	while_it_runs = script;
	entered = NULL;
	on(1);
	if (!setjmp(idle))
		sched_enter(leave);
	/* The loop was left in the middle: what it ran is still ready. */
	if (entered) {
		struct vcpu *v = entered == &victim ? &victim : &bystander;

		sched_lock(v);
		if (v->state == VCPU_RUNNABLE)
			(void)!sched_make_runnable(v);
		sched_unlock(v);
	}
	while_it_runs = NULL;
	on(0);
}

static void make(struct vcpu *v, struct vm *of, u32 id, u32 on_cpu, u8 priority)
{
	memset(v, 0, sizeof(*v));
	v->vm = of;
	v->id = id;
	v->tlb.cpu = on_cpu;
	v->priority = priority;
	list_init(&v->run_link);
	vlapic_init(v);
	vlapic_start_in_x2apic_mode(v);
	assert_int_equal(vlapic_write_msr(v, X2APIC(APIC_SVR), 0x1ff), 0);
}

static void begin(void)
{
	static const struct guest_entry entry;

	on(0);
	sched_init();
	make(&attacker, &vm, 0, 0, 1);
	make(&victim, &vm, 1, 1, 1);
	make(&bystander, &other_vm, 0, 1, 2);
	vm.nr_vcpus = 2;
	vm.vcpu[0] = &attacker;
	vm.vcpu[1] = &victim;
	vcpu_start(&attacker, &entry);
	vcpu_start(&bystander, &entry);
	kicks[0] = kicks[1] = 0;
}

static void send(u64 command)
{
	assert_int_equal(vlapic_write_msr(&attacker, X2APIC(APIC_ICR), ICR_TO(1) | command), 0);
}

/* --- tests ---------------------------------------------------------------- */

static void send_inits(void)
{
	for (int i = 0; i < 1000; i++)
		send(ICR_INIT | ICR_ASSERT);
}

static void send_startups(void)
{
	for (int i = 0; i < 1000; i++)
		send(ICR_STARTUP | 8);
}

static void send_both(void)
{
	for (int i = 0; i < 1000; i++) {
		send(ICR_INIT | ICR_ASSERT);
		send(ICR_STARTUP | 8);
	}
}

static void send_nmis(void)
{
	for (int i = 0; i < 1000; i++)
		send(ICR_NMI);
}

static void send_vectors(void)
{
	for (int i = 0; i < 1000; i++)
		send(0x91);
}

static void wake_and_kill(void)
{
	for (int i = 0; i < 1000; i++) {
		vcpu_wake(&victim);
		vcpu_kill(&victim);
	}
}

/* No signal to a vCPU of lower priority interrupts the bystander, whatever state that one is in. */
static void bystander_is_left_alone(void **state)
{
	static void (*const scripts[])(void) = { send_inits, send_startups, send_both,
						 send_nmis,  send_vectors,  wake_and_kill };
	static const enum vcpu_state states[] = { VCPU_OFFLINE, VCPU_HALTED, VCPU_PARKED,
						  VCPU_RUNNABLE, VCPU_DEAD };

	(void)state;
	for (u32 s = 0; s < ARRAY_SIZE(scripts); s++)
		for (u32 i = 0; i < ARRAY_SIZE(states); i++) {
			begin();
			victim.state = states[i];
			run(scripts[s]);
			assert_ptr_equal(entered, &bystander);
			if (kicks[1])
				fail_msg("script %u, state %u: %u interrupts", s, i, kicks[1]);
		}
}

/* A CPU that has nothing to do is interrupted once for a change, and not again. */
static void an_idle_cpu_is_told_once(void **state)
{
	(void)state;
	begin();
	bystander.state = VCPU_HALTED;
	run(NULL);
	run(NULL);
	assert_null(entered);
	send_inits(); /* offline already */
	assert_int_equal(kicks[1], 0);
	send_startups();
	assert_int_equal(kicks[1], 1);
	assert_int_equal(victim.state, VCPU_RUNNABLE);
	send_inits();
	assert_int_equal(kicks[1], 2);
	send_both();
	assert_int_equal(kicks[1], 2);
	run(NULL);
	assert_ptr_equal(entered, &victim); /* the SIPI after the last INIT */
	assert_false(victim.init_pending || victim.sipi_pending);

	victim.state = VCPU_DEAD;
	send_both();
	assert_int_equal(kicks[1], 2);
}

/* A vCPU in guest mode exits for each change, and for no repetition. */
static void a_running_vcpu_exits_for_changes(void **state)
{
	static void (*const scripts[])(void) = { send_inits, send_both, send_nmis, send_vectors,
						 wake_and_kill };

	(void)state;
	for (u32 s = 0; s < ARRAY_SIZE(scripts); s++) {
		begin();
		bystander.state = VCPU_HALTED;
		run(NULL);
		run(NULL);
		send_startups();
		kicks[1] = 0;
		run(scripts[s]);
		assert_ptr_equal(entered, &victim);
		assert_int_equal(kicks[1], 1);
	}
}

/* A halted vCPU is woken by an interrupt and by an NMI, and equal priorities take turns. */
static void equals_are_told(void **state)
{
	(void)state;
	begin();
	bystander.priority = victim.priority;
	victim.state = VCPU_HALTED;
	victim.rflags = RFLAGS_IF;
	run(send_vectors);
	assert_ptr_equal(entered, &bystander);
	assert_int_equal(kicks[1], 1);
	assert_int_equal(victim.state, VCPU_RUNNABLE);
	run(NULL);
	assert_ptr_equal(entered, &victim);
}

/* A vCPU that halts with interrupts disabled sleeps until an NMI comes; one whose task priority
 * holds back all interrupts likewise. */
static void only_an_nmi_ends_it(void **state)
{
	(void)state;
	for (u32 held_by_priority = 0; held_by_priority < 2; held_by_priority++) {
		begin();
		bystander.state = VCPU_HALTED;
		victim.state = VCPU_RUNNABLE;
		victim.rflags = held_by_priority ? RFLAGS_IF : 0;
		victim.lapic.tpr = held_by_priority ? 0xf0 : 0;
		send(0x91); /* pending before HLT */
		on(1);
		vcpu_halt(&victim);
		on(0);
		assert_int_equal(victim.state, VCPU_HALTED);
		send(0x92);
		assert_int_equal(victim.state, VCPU_HALTED);
		send(ICR_NMI);
		assert_int_equal(victim.state, VCPU_RUNNABLE);
		on(1);
		vcpu_halt(&victim);
		on(0);
		assert_int_equal(victim.state, VCPU_RUNNABLE); /* the NMI is still pending */
	}
}

/* While an NMI is in service, another one waits, and does not end HLT. Of those that come while
 * none is in service, two arrive. */
static void an_nmi_waits_for_the_one_in_service(void **state)
{
	(void)state;
	begin();
	bystander.state = VCPU_HALTED;
	victim.state = VCPU_HALTED;
	victim.nmi_masked = true;
	send_nmis();
	assert_int_equal(victim.state, VCPU_HALTED);
	assert_int_equal(victim.nmi_arrived, 3);
	victim.rflags = RFLAGS_IF;
	send(0x91);
	assert_int_equal(victim.state, VCPU_RUNNABLE);
	victim.nmi_masked = false;
	on(1);
	vcpu_halt(&victim);
	on(0);
	assert_int_equal(victim.state, VCPU_RUNNABLE);
}

/* Nor does one reach a vCPU that waits for a SIPI, or will: it would come in real mode. */
static void an_nmi_does_not_wait_for_sipi(void **state)
{
	(void)state;
	begin();
	send(ICR_NMI);
	assert_int_equal(victim.nmi_arrived, 0);
	send(ICR_STARTUP | 8);
	send(ICR_NMI);
	assert_int_equal(victim.nmi_arrived, 1);
	victim.nmi_waiting = 1;
	victim.nmi_masked = true;
	send(ICR_INIT | ICR_ASSERT);
	send(ICR_NMI);
	bystander.state = VCPU_HALTED;
	run(NULL);
	assert_int_equal(victim.state, VCPU_OFFLINE);
	assert_int_equal(victim.nmi_arrived, 0);
	assert_int_equal(victim.nmi_waiting, 0);
	assert_false(victim.nmi_masked);
}

/* Nothing but another vCPU can wake it: that is what a domain's halt is made of. */
static void nothing_can_wake_it(void **state)
{
	(void)state;
	begin();
	bystander.state = VCPU_HALTED;
	bystander.rflags = 0;
	assert_true(vcpu_is_stuck(&bystander));
	bystander.rflags = RFLAGS_IF; /* an interrupt could */
	assert_false(vcpu_is_stuck(&bystander));
	bystander.rflags = 0;
	bystander.state = VCPU_OFFLINE;
	assert_true(vcpu_is_stuck(&bystander));
	bystander.state = VCPU_PARKED; /* what it waits for will come */
	assert_false(vcpu_is_stuck(&bystander));
	bystander.state = VCPU_RUNNABLE;
	assert_false(vcpu_is_stuck(&bystander));
	/* Signals that others sent before they halted. */
	victim.state = VCPU_HALTED;
	victim.rflags = 0;
	assert_true(vcpu_is_stuck(&victim));
	send(ICR_NMI);
	assert_false(vcpu_is_stuck(&victim));
	begin();
	victim.state = VCPU_HALTED;
	victim.rflags = 0;
	vcpu_init_signal(&victim);
	assert_false(vcpu_is_stuck(&victim));
}

static u64 ends[2]; /* of the bystander's quantum, before and after */

static void charge_victim(void)
{
	on(1);
	cpu[1].current = &bystander;
	ends[0] = bystander.quantum_end_ns;
	for (int i = 0; i < 10; i++)
		sched_charge(&victim, 1000);
	sched_charge(&bystander, 1000); /* its own time */
	ends[1] = bystander.quantum_end_ns;
}

/* What a vCPU's timer costs the one that runs is given back to that one, and taken from its own
 * next quantum, of which half remains at least. */
static void timers_are_paid_by_their_owner(void **state)
{
	u64 whole;

	(void)state;
	begin();
	bystander.priority = victim.priority;
	run(charge_victim);
	assert_ptr_equal(entered, &bystander);
	assert_true(ends[1] - ends[0] >= 10000);
	whole = ends[0] - now;
	assert_int_equal(victim.owed_ns, ends[1] - ends[0]);

	bystander.state = VCPU_HALTED;
	send_startups();
	run(NULL);
	assert_ptr_equal(entered, &victim);
	assert_int_equal(victim.quantum_end_ns - now, whole - (ends[1] - ends[0]));
	assert_int_equal(victim.owed_ns, 0);

	victim.owed_ns = 100 * whole;
	run(NULL);
	assert_ptr_equal(entered, &victim);
	assert_int_equal(victim.quantum_end_ns - now, whole / 2);
	assert_int_equal(victim.owed_ns, 100 * whole - whole / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bystander_is_left_alone),
		cmocka_unit_test(an_idle_cpu_is_told_once),
		cmocka_unit_test(a_running_vcpu_exits_for_changes),
		cmocka_unit_test(equals_are_told),
		cmocka_unit_test(nothing_can_wake_it),
		cmocka_unit_test(only_an_nmi_ends_it),
		cmocka_unit_test(an_nmi_waits_for_the_one_in_service),
		cmocka_unit_test(an_nmi_does_not_wait_for_sipi),
		cmocka_unit_test(timers_are_paid_by_their_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
