/* The timer of a virtual local APIC, SDM vol. 3, 11.5.4. Its own CPU. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct vcpu;
struct vlapic;

/* The APIC timer counts at this rate before its divider; CPUID leaf 0x40000010 says so. */
#define VLAPIC_TIMER_HZ 1000000000UL

enum vlapic_timer_mode { VLAPIC_ONE_SHOT, VLAPIC_PERIODIC, VLAPIC_TSC_DEADLINE };
/* As the LVT's timer entry says. */
enum vlapic_timer_mode vlapic_timer_mode(const struct vlapic *a);

/* Off; before the vCPU runs. */
void vlapic_timer_init(struct vlapic *a);
/* Begin to count down from timer_initial, by timer_divide; nothing is started in deadline mode. */
void vlapic_timer_start(struct vlapic *a);
/* Arm it for this value of the guest's TSC; 0: disarm. */
void vlapic_timer_set_deadline(struct vcpu *v, u64 deadline);
/* The count that is left. */
u32 vlapic_timer_count(const struct vlapic *a);
