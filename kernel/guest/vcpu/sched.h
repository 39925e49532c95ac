/* The scheduler, and what kernel/guest/vcpu/vcpustate.c needs of it. */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

/* Before any vCPU is made; boot. */
void sched_init(void);
/* Never returns: runs work, vCPUs by priority and round robin, halts when there is nothing. Each
 * exit of a vCPU is handled by handle_exit(). */
void sched_enter(void (*handle_exit)(struct vcpu *v)) __noreturn;

/* The lock that guards the state of v and of all other vCPUs of its CPU. */
void sched_lock(const struct vcpu *v);
void sched_unlock(const struct vcpu *v);
/* The same, held: v is runnable and in the run queue. */
void sched_make_runnable(struct vcpu *v);
/* Make v's CPU look at its queue, or at v's pending interrupts. Any CPU, no lock needed. */
void sched_nudge(const struct vcpu *v);
