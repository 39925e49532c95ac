/* The scheduler, and the functions that kernel/guest/vcpu/vcpustate.c needs. */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

/* Initialise all run queues. Boot, before the first vCPU is created. */
void sched_init(void);
/* Schedule on the calling CPU forever: run work, then vCPUs by priority and in turn, and halt when
 * there is nothing to do. handle_exit() is called after each exit of a vCPU. */
void sched_enter(void (*handle_exit)(struct vcpu *v)) __noreturn;

/* The calling CPU has handled an interrupt for v, which took `ns` without the interrupt itself. If
 * another vCPU runs here, it gets the time back, and v's next quantum is shorter. v's own CPU. */
void sched_charge(struct vcpu *v, u64 ns);

/* The lock that guards the state of v and of all other vCPUs of its CPU. */
void sched_lock(const struct vcpu *v);
void sched_unlock(const struct vcpu *v);
/* Make v runnable and queue it. That lock is held. True: its CPU runs nothing of higher priority,
 * so sched_nudge() must follow. Otherwise it finds v when that one stops. */
bool __must_check sched_make_runnable(struct vcpu *v);
/* Make v's CPU check its queue and v's pending interrupts. It costs that CPU an exit of the guest
 * that it runs, so only a change is worth a call. Any CPU, no lock needed. */
void sched_nudge(const struct vcpu *v);
