/* The timer of a virtual local APIC (SDM vol. 3, 11.5.4). On its own CPU. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;
struct vlapic;

/* The frequency of the APIC timer before its divider, as reported in CPUID leaf 0x40000010. */
#define VLAPIC_TIMER_HZ 1000000000UL

enum vlapic_timer_mode { VLAPIC_ONE_SHOT, VLAPIC_PERIODIC, VLAPIC_TSC_DEADLINE };
/* The mode in the LVT's timer entry. */
enum vlapic_timer_mode vlapic_timer_mode(const struct vlapic *a);

/* Initialise the timer; it is off. Before the vCPU runs. */
void vlapic_timer_init(struct vlapic *a);
/* Start to count down from timer_initial, divided by timer_divide. Stops the timer if timer_initial
 * is 0 or the mode is deadline mode. */
void vlapic_timer_start(struct vlapic *a);
/* Write the divide register: a count starts again, a deadline goes on. */
void vlapic_timer_set_divide(struct vlapic *a, u32 divide);
/* Arm the timer for this value of the guest's TSC; 0: disarm it. */
void vlapic_timer_set_deadline(struct vcpu *v, u64 deadline);
/* Arm a periodic timer that has fired for its next period, unless it is masked or its last
 * interrupt is still pending. Before each entry, when an interrupt may have been offered. */
void vlapic_timer_before_entry(struct vlapic *a);
/* The current count. */
u32 vlapic_timer_count(const struct vlapic *a);
