/* A virtual local APIC in x2APIC mode (SDM vol. 3, 11.12): MSRs 0x800 .. 0x83f, timer, IPIs, and
 * the delivery of device interrupts. One per vCPU. xAPIC MMIO at 0xfee00000 is not offered. */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/core/clock.h>
#include <kernel/lib/compiler.h>
#include <kernel/core/spinlock.h>

/* The APIC timer counts at this rate before its divider; CPUID leaf 0x40000010 says so. */
#define VLAPIC_TIMER_HZ 1000000000UL

struct vcpu;

struct vlapic {
	u32 irr[8]; /* set by any CPU, atomically */
	u32 isr[8]; /* this and all below: its own CPU only */
	u32 tpr, svr, esr, esr_pending;
	u32 lvt_cmci, lvt_timer, lvt_thermal, lvt_perf, lvt_lint[2], lvt_error;
	u64 apic_base; /* IA32_APIC_BASE */
	u64 icr;
	u32 timer_initial, timer_divide; /* divide: the register's value */
	u64 timer_start_ns; /* when the count began */
	u64 tsc_deadline;
	u64 pv_eoi; /* kernel/guest/vcpu/pveoi.c: the MSR; 0: off */
	bool pv_eoi_set; /* the guest may clear its flag instead of writing EOI */
	struct timer timer;
};

void vlapic_init(struct vcpu *v);
/* As firmware leaves it that has chosen this mode; before the vCPU runs. */
void vlapic_start_in_x2apic_mode(struct vcpu *v);
/* Stop its timer; its own CPU. */
void vlapic_reset(struct vcpu *v);
/* Any CPU, any context: make `vector` pending (edge) and wake or kick the vCPU. Vectors below 16
 * are dropped. */
void vlapic_deliver(struct vcpu *v, u8 vector);
/* Highest pending vector above the processor priority, or -1. Its own CPU. */
int vlapic_pending(struct vcpu *v);
/* Before an entry: the vector of vlapic_pending() leaves the IRR, so that one that comes while the guest may take it is another
 * one. */
int vlapic_offer(struct vcpu *v);
/* After the exit: it is in service, or back in the IRR. */
void vlapic_settle(struct vcpu *v, u8 vector, bool taken);
/* The guest has written EOI, or what stands for it. */
void vlapic_end_of_interrupt(struct vcpu *v);
/* True: the next EOI but ends the interrupt that is in service, or, if none is, the one that is offered: no other waits for it. Its
 * own CPU. */
bool vlapic_next_eoi_is_quiet(const struct vcpu *v, int offered);
/* CR8, which is the upper half of the task priority (SDM vol. 3, 11.8.6). Its own CPU. */
u8 vlapic_cr8(const struct vcpu *v);
void vlapic_set_cr8(struct vcpu *v, u8 cr8);
/* True: a vector waits for nothing but a lower task priority. */
bool vlapic_held_by_tpr(const struct vcpu *v);
/* What an access to this MSR, which may be any, is counted as. */
enum weir_msr_exit vlapic_msr_exit(u32 msr);
/* MSR 0x1b and 0x800 .. 0x83f, 0x6e0. -EINVAL: #GP. */
int vlapic_read_msr(struct vcpu *v, u32 msr, u64 *value);
int vlapic_write_msr(struct vcpu *v, u32 msr, u64 value);
