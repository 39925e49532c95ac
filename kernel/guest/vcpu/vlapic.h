/* A virtual local APIC in x2APIC mode (SDM vol. 3, 11.12): MSRs 0x800 .. 0x83f, timer, IPIs, and
 * the delivery of device interrupts. One per vCPU. xAPIC MMIO at 0xfee00000 is not offered.
 *
 * Here are its registers; see also vlapicpending.h, vlapictimer.h and vlapicipi.h. */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/core/clock.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/compiler.h>

/* Fields of the local vector table's entries. */
#define VLAPIC_LVT_VECTOR 0xffu
#define VLAPIC_LVT_MASKED 0x10000u

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
/* True: neither IA32_APIC_BASE nor the spurious-interrupt register has it switched off. */
bool vlapic_enabled(const struct vlapic *a);
/* What an access to this MSR, which may be any, is counted as. */
enum weir_msr_exit vlapic_msr_exit(u32 msr);
/* MSR 0x1b and 0x800 .. 0x83f, 0x6e0. -EINVAL: #GP. */
int vlapic_read_msr(struct vcpu *v, u32 msr, u64 *value);
int vlapic_write_msr(struct vcpu *v, u32 msr, u64 value);
