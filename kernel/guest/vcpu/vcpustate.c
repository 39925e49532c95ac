/* The states of a vCPU, and the functions that change them.
 *
 *	            vcpu_halt()              vcpu_interrupt()
 *	RUNNABLE  ------------->  HALTED   ------------------>  RUNNABLE
 *	RUNNABLE  ------------->  PARKED   ------------------>  RUNNABLE
 *	            vcpu_park()              vcpu_wake()
 *	OFFLINE   <- INIT, SIPI -> RUNNABLE
 *	any        vcpu_kill() ->  DEAD    vcpu_power_on() ->  OFFLINE
 *
 * A vCPU's state changes under its CPU's scheduler lock. A sleeping vCPU cannot miss its wake-up.
 * For a park: vcpu_prepare_park() clears wake_pending before the condition is checked, vcpu_wake()
 * sets it under the lock, and vcpu_park() checks it under the lock. For a halt: vcpu_halt() checks
 * for pending interrupts under the lock, and vcpu_interrupt() takes the lock after the interrupt
 * was made pending.
 *
 * A nudge costs another CPU an exit, perhaps of another domain's guest. So a signal that changes
 * nothing sends none, nor does one to a vCPU that cannot run yet: a guest can send signals without
 * end.
 */
#include <kernel/guest/vcpu/vcpustate.h>

#include <kernel/core/panic.h>
#include <kernel/guest/vcpu/backend.h>
#include <kernel/guest/vcpu/extint.h>
#include <kernel/guest/vcpu/sched.h>
#include <kernel/guest/vcpu/vlapicpending.h>
#include <kernel/lib/atomic.h>
#include <kernel/x86/control.h>

void vcpu_start(struct vcpu *v, const struct guest_entry *entry)
{
	bool look = false;

	sched_lock(v);
	if (v->state == VCPU_OFFLINE) {
		vcpu_backend->set_entry(v, entry);
		look = sched_make_runnable(v);
	}
	sched_unlock(v);
	if (look)
		sched_nudge(v);
}

void vcpu_power_on(struct vcpu *v)
{
	sched_lock(v);
	if (v->state == VCPU_DEAD || v->state == VCPU_OFFLINE) {
		vcpu_reset(v);
		v->wake_pending = v->kill_pending = v->init_pending = v->sipi_pending = false;
		v->state = VCPU_OFFLINE;
	} else {
		/* Its domain is ended while it is still being built. */
		BUG_ON(!v->kill_pending);
	}
	sched_unlock(v);
}

void vcpu_sipi(struct vcpu *v, u8 vector)
{
	bool look = false;

	sched_lock(v);
	if (v->state == VCPU_OFFLINE && !v->kill_pending) {
		vcpu_backend->set_sipi(v, vector);
		look = sched_make_runnable(v);
	} else if (v->init_pending) {
		v->sipi_pending = true;
		v->sipi_vector = vector;
	}
	sched_unlock(v);
	if (look)
		sched_nudge(v);
}

void vcpu_init_signal(struct vcpu *v)
{
	bool look = false;

	sched_lock(v);
	if (v->state != VCPU_OFFLINE && v->state != VCPU_DEAD) {
		v->sipi_pending = false;
		/* Whoever was first makes its CPU look. */
		if (!v->init_pending)
			look = sched_make_runnable(v);
		v->init_pending = true;
	}
	sched_unlock(v);
	if (look)
		sched_nudge(v);
}

/* True if HLT ends: by an NMI, or by an interrupt that the guest would take. */
static bool ends_halt(struct vcpu *v)
{
	bool nmi = !v->nmi_masked && (v->nmi_waiting || read_once(&v->nmi_arrived));

	return nmi || ((v->rflags & RFLAGS_IF) && (vlapic_pending(v) >= 0 || extint_is_pending(v)));
}

/* An interrupt or NMI has become pending. True: its CPU must look. */
static bool tell(struct vcpu *v)
{
	bool look = false;

	if (v->state == VCPU_HALTED && ends_halt(v))
		look = sched_make_runnable(v);
	/* It was published before; the entry path sets in_guest before it checks for one. */
	write_once(&v->attention, true);
	smp_mb();
	return look | read_once(&v->tlb.in_guest);
}

void vcpu_interrupt(struct vcpu *v)
{
	bool look;

	sched_lock(v);
	look = tell(v);
	sched_unlock(v);
	if (look)
		sched_nudge(v);
}

/* The first sets bit 0, the second bit 1. True: it is the first; whoever looks sees both. The vCPU
 * may take the first one before the second is latched, which is then alone. */
static bool latch_nmi(struct vcpu *v)
{
	return !(atomic_or(&v->nmi_arrived, 1) & 1) || !(atomic_or(&v->nmi_arrived, 2) & 1);
}

void vcpu_nmi(struct vcpu *v)
{
	bool look = false;

	sched_lock(v);
	/* One that waits for a SIPI would take it in real mode. */
	if (v->state != VCPU_OFFLINE && v->state != VCPU_DEAD && !v->init_pending && latch_nmi(v))
		look = tell(v);
	sched_unlock(v);
	if (look)
		sched_nudge(v);
}

void vcpu_wake(struct vcpu *v)
{
	bool look = false;

	sched_lock(v);
	v->wake_pending = true;
	if (v->state == VCPU_PARKED)
		look = sched_make_runnable(v);
	sched_unlock(v);
	if (look)
		sched_nudge(v);
}

void vcpu_prepare_park(struct vcpu *v)
{
	sched_lock(v);
	v->wake_pending = false;
	sched_unlock(v);
}

void vcpu_park(struct vcpu *v)
{
	sched_lock(v);
	if (v->state == VCPU_RUNNABLE && !v->wake_pending)
		v->state = VCPU_PARKED;
	sched_unlock(v);
}

void vcpu_halt(struct vcpu *v)
{
	sched_lock(v);
	if (v->state == VCPU_RUNNABLE && !ends_halt(v))
		v->state = VCPU_HALTED;
	sched_unlock(v);
}

bool vcpu_is_stuck(struct vcpu *v)
{
	bool stuck;

	sched_lock(v);
	stuck = v->state == VCPU_OFFLINE ||
		(v->state == VCPU_HALTED && !(v->rflags & RFLAGS_IF) && !ends_halt(v));
	stuck &= !v->init_pending && !v->kill_pending;
	sched_unlock(v);
	return stuck;
}

void vcpu_kill(struct vcpu *v)
{
	bool look = false;

	sched_lock(v);
	/* Its own CPU, which may be running it right now, ends it. */
	if (v->state != VCPU_DEAD && !v->kill_pending)
		look = sched_make_runnable(v);
	v->kill_pending = true;
	sched_unlock(v);
	if (look)
		sched_nudge(v);
}

bool vcpu_is_stopped(struct vcpu *v)
{
	bool dead;

	sched_lock(v);
	dead = v->state == VCPU_DEAD;
	sched_unlock(v);
	return dead;
}

static void act_on_kill_or_init(struct vcpu *v)
{
	vlapic_reset(v);
	/* They would arrive in real mode. */
	write_once(&v->nmi_arrived, 0);
	v->nmi_waiting = 0;
	v->nmi_masked = false;
	v->init_pending = false;
	if (v->kill_pending) {
		vcpu_unload(v);
		v->state = VCPU_DEAD;
	} else if (v->sipi_pending) {
		v->sipi_pending = false;
		vcpu_backend->set_sipi(v, v->sipi_vector);
		v->state = VCPU_RUNNABLE;
	} else {
		v->state = VCPU_OFFLINE;
	}
}

bool vcpu_act_on_requests(struct vcpu *v)
{
	if (v->kill_pending || v->init_pending)
		act_on_kill_or_init(v);
	return v->state == VCPU_RUNNABLE;
}
