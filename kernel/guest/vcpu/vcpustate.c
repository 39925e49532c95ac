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
	return read_once(&v->nmi_pending) || ((v->rflags & RFLAGS_IF) && vlapic_pending(v) >= 0);
}

void vcpu_interrupt(struct vcpu *v)
{
	bool look = false;

	sched_lock(v);
	if (v->state == VCPU_HALTED && ends_halt(v))
		look = sched_make_runnable(v);
	/* The pending interrupt was published before; the entry path sets in_guest before it checks
	 * for one. */
	smp_mb();
	look |= read_once(&v->tlb.in_guest);
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
	stuck = v->state == VCPU_OFFLINE || (v->state == VCPU_HALTED && !(v->rflags & RFLAGS_IF) &&
					     !read_once(&v->nmi_pending));
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
	write_once(&v->nmi_pending, false); /* it would arrive in real mode */
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
