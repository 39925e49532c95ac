/* Starts, parks, halts, wakes and ends vCPUs. */
#pragma once

#include <kernel/guest/vcpu/vcpu.h>

struct guest_entry;

/* Make an offline vCPU runnable at this entry point. Any CPU. */
void vcpu_start(struct vcpu *v, const struct guest_entry *entry);

/* An interrupt has become pending for v: make v runnable if it is halted, or make it exit if it is
 * in guest mode. Any CPU. */
void vcpu_interrupt(struct vcpu *v);
/* Send v an NMI. It is merged with others if one is in service and one waits, and lost if v waits
 * for INIT or SIPI. Any CPU. */
void vcpu_nmi(struct vcpu *v);
/* Called before the condition for a park is checked: from here on, a vcpu_wake() is not lost. On
 * v's own CPU, in an exit. */
void vcpu_prepare_park(struct vcpu *v);
/* Sleep until vcpu_wake(). If that was called since vcpu_prepare_park(), v stays runnable. The
 * caller must not advance past the instruction. On v's own CPU, in an exit. */
void vcpu_park(struct vcpu *v);
/* Sleep until an interrupt, unless one is pending. On v's own CPU, in an exit for HLT. */
void vcpu_halt(struct vcpu *v);
/* True if nothing but a signal from another vCPU can make v run: it waits for INIT and SIPI, or it
 * is halted with interrupts disabled. Any CPU. */
bool vcpu_is_stuck(struct vcpu *v);
/* Make a parked vCPU runnable. Any CPU. */
void vcpu_wake(struct vcpu *v);
/* INIT and SIPI from another vCPU. Any CPU. */
void vcpu_init_signal(struct vcpu *v);
void vcpu_sipi(struct vcpu *v, u8 vector);
/* Never run v again; its own CPU makes it dead. Any CPU. */
void vcpu_kill(struct vcpu *v);
/* True once a killed vCPU neither runs nor is loaded on any CPU. */
bool vcpu_is_stopped(struct vcpu *v);
/* Put a new or dead vCPU into its state after power-on, and make it offline. Nothing may raise
 * interrupts for it meanwhile. */
void vcpu_power_on(struct vcpu *v);

/* Handle the requests of other CPUs while v is not running. False: v cannot run now. Called by its
 * scheduler, whose lock is held. */
bool vcpu_act_on_requests(struct vcpu *v);
