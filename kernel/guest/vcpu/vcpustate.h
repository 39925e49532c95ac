/* A vCPU starts, sleeps, wakes and ends. */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

struct guest_entry;

/* Make an offline vCPU runnable at this entry point. */
void vcpu_start(struct vcpu *v, const struct guest_entry *entry);

/* Any CPU. An interrupt is pending in its APIC: make a halted vCPU runnable, and one in guest mode
 * look. */
void vcpu_interrupt(struct vcpu *v);
/* Its own CPU, in an exit: from here on a vcpu_wake() is not lost. */
void vcpu_prepare_park(struct vcpu *v);
/* Do not advance over the instruction, sleep until vcpu_wake(); if that has come already, the vCPU
 * stays runnable. */
void vcpu_park(struct vcpu *v);
/* Its own CPU, in an exit: HLT. */
void vcpu_halt(struct vcpu *v);
/* Any CPU: a parked vCPU becomes runnable. */
void vcpu_wake(struct vcpu *v);
/* INIT and SIPI from another vCPU. */
void vcpu_init_signal(struct vcpu *v);
void vcpu_sipi(struct vcpu *v, u8 vector);
/* Any CPU: do not run it again. */
void vcpu_kill(struct vcpu *v);
/* True once a killed vCPU is certainly not running nor loaded on any CPU. */
bool vcpu_is_stopped(struct vcpu *v);
/* A vCPU that is new or dead is as after power-on, and offline. Nobody raises interrupts for it
 * meanwhile. */
void vcpu_power_on(struct vcpu *v);

/* Its scheduler, with the scheduler's lock held: act on what other CPUs have asked for, with v
 * certainly not running. False: v is not to be run now. */
bool vcpu_act_on_requests(struct vcpu *v);
