/* A virtual local APIC in x2APIC mode (SDM vol. 3, 11.12), one per vCPU: MSRs 0x800 to 0x83f,
 * timer, IPIs, and the delivery of device interrupts. Its page in xAPIC mode: vlapicpage.h.
 *
 * This file has its registers; see also vlapicpending.h, vlapictimer.h and vlapicipi.h. */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/core/clock.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/compiler.h>

/* Fields of an entry of the local vector table. */
#define VLAPIC_LVT_VECTOR 0xffu
#define VLAPIC_LVT_MASKED 0x10000u

/* In its version register: integrated. */
#define VLAPIC_VERSION 0x15u

struct vcpu;

struct vlapic {
	u32 irr[8] __aligned(8); /* set by any CPU, atomically */
	u32 tmr[8] __aligned(8); /* the level-triggered ones of irr and isr; likewise */
	u32 isr[8] __aligned(8); /* this and everything below: only its own CPU */
	u32 tpr, svr, esr, esr_pending;
	u32 ldr, dfr; /* of xAPIC mode */
	u32 lvt_cmci, lvt_timer, lvt_thermal, lvt_perf, lvt_lint[2], lvt_error;
	u64 apic_base; /* IA32_APIC_BASE */
	u64 icr; /* with the destination in bits 63:32 in both modes */
	u32 timer_initial, timer_divide; /* divide: the value of the divide register */
	u64 timer_start_ns; /* when the count began */
	bool timer_lapsed; /* a periodic timer has fired; the next entry may arm it again */
	u64 tsc_deadline;
	u64 pv_eoi; /* kernel/guest/vcpu/pveoi.c: the MSR; 0: off */
	bool pv_eoi_set; /* the guest may clear its flag instead of writing EOI */
	struct timer timer;
};

/* The state after power-on, including IA32_APIC_BASE and the timer. The vCPU does not run yet. */
void vlapic_init(struct vcpu *v);
/* Switch to x2APIC mode, as some firmware does. Before the vCPU runs. */
void vlapic_start_in_x2apic_mode(struct vcpu *v);
/* Let interrupts of a PC's controllers through LINT0, as its firmware does (SDM vol. 3, 9.4.3:
 * "virtual wire"). Before the vCPU runs. */
void vlapic_start_as_virtual_wire(struct vcpu *v);
/* Stop the timer and reset the registers, except for IA32_APIC_BASE. Its own CPU. */
void vlapic_reset(struct vcpu *v);
/* True if both IA32_APIC_BASE and the spurious-interrupt vector register enable the APIC. */
bool vlapic_enabled(const struct vlapic *a);
/* Read or write MSR 0x1b, 0x6e0 or 0x800 to 0x83f. -EINVAL: raise #GP. Its own CPU. */
int vlapic_read_msr(struct vcpu *v, u32 msr, u64 *value);
int vlapic_write_msr(struct vcpu *v, u32 msr, u64 value);
/* Read or write a register that both modes have. -EINVAL: it is not there, or the value is not one
 * of x2APIC mode. Its own CPU. */
int vlapic_read_register(struct vcpu *v, u32 reg, u64 *value);
int vlapic_write_register(struct vcpu *v, u32 reg, u64 value);
/* The bits of a register that can be written. */
u32 vlapic_writable(struct vlapic *a, u32 reg);
