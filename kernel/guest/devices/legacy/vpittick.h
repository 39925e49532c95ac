/* The interrupt of a PC's timer: the output of its channel 0, which is line 0 of the interrupt
 * controllers.
 *
 * Like the timer of an APIC (kernel/guest/vcpu/vlapictimer.c), a periodic one is armed for one
 * period at a time, by the entry that follows the last interrupt, if that is not pending any more.
 * So it costs a CPU at most one interrupt for each run of a vCPU, however short the period is.
 * Interrupts that the guest does not take in time are one interrupt. */
#pragma once

#include <kernel/core/clock.h>
#include <kernel/lib/compiler.h>

struct legacy;
struct vcpu;

struct vpit_tick {
	struct timer timer;
	u64 due_ns; /* ~0: it is not armed */
	bool lapsed; /* a periodic one has fired; the next entry may arm it again */
	struct vcpu *payer; /* who armed it */
};

/* Before the domain runs. */
void vpittick_init(struct legacy *l);
/* v has changed channel 0: arm the timer for the next edge of its output, or disarm it. This and
 * the next two functions are called with the lock of `l` held. */
void vpittick_set(struct legacy *l, struct vcpu *v, u64 now_ns);
/* v is about to enter: arm a periodic timer that has fired. */
void vpittick_before_entry(struct legacy *l, struct vcpu *v);
/* Disarm it. */
void vpittick_reset(struct legacy *l);
/* Disarm it, when no vCPU runs. False: its interrupt is still being handled, so ask again. No lock
 * is held. */
bool vpittick_stop(struct legacy *l);
