/* A virtual CPU, as everything but its back end sees it.
 *
 * A vCPU belongs to one CPU for ever; that CPU's scheduler runs it. There is no kernel thread
 * behind it: an exit is handled to its end, and a vCPU that has to wait is parked with its
 * instruction not executed, so that it comes back to the same exit when it is woken.
 */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/core/cpu.h>
#include <kernel/guest/vcpu/vlapic.h>
#include <kernel/guest/vcpu/vm.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>

enum vcpu_state {
	VCPU_OFFLINE, /* waits for INIT/SIPI */
	VCPU_RUNNABLE,
	VCPU_HALTED, /* HLT: until an interrupt */
	VCPU_PARKED, /* in a hypercall: until vcpu_wake() */
	VCPU_DEAD,
};

/* In the order of their encoding in ModRM; the back end keeps rax and rsp here too, between exit
 * and entry. */
enum guest_register {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15
};

struct vcpu {
	struct vm *vm; /* the machine that it is part of */
	u32 id; /* in its domain; also its virtual APIC id */
	u8 priority; /* the higher goes first */

	/* Guarded by its CPU's scheduler lock. */
	enum vcpu_state state;
	bool wake_pending; /* a wake-up that came before the vCPU was parked */
	bool kill_pending, init_pending; /* for its own CPU to act on */
	bool sipi_pending; /* came before that INIT was acted on */
	u8 sipi_vector;
	bool queued; /* on the run queue */
	struct list run_link;

	struct nested_tlb tlb; /* which real CPU it belongs to, and what that may have cached */
	bool nmi_pending;

	/* The guest's registers between exit and entry. */
	u64 reg[16];
	u64 rip, rflags;
	u64 next_rip; /* behind the instruction that caused the exit; 0: the hardware did not say */
	void *arch; /* the back end's: VMCB and so on */
	void *fpu; /* XSAVE area, while another vCPU's state is in the registers */
	u64 xcr0;
	u64 dr[4]; /* DR0 to DR3, likewise; the back end has DR6 and DR7 */
	u64 tsc_aux;
	u64 kvmclock; /* kernel/guest/vcpu/kvmclock.c: where the guest wants the time */
	u32 kvmclock_version;
	struct vlapic lapic;

	u64 quantum_end_ns;
	u64 exits[WEIR_NR_EXIT_REASONS];
	u64 msr_exits[WEIR_NR_MSR_EXITS];
	u64 interrupts_delivered, interrupts_taken;
	u64 absent_msrs;
};

/* The next vCPU of a machine; its id is vm->nr_vcpus before the call, `cpu` is the real CPU's id.
 * It starts offline. NULL: no memory. Boot. */
struct vcpu *vcpu_create(struct vm *vm, u32 cpu, u8 priority) __must_check;
void vcpu_destroy(struct vcpu *v);
/* The state after power-on, of one that is new or dead; all but its place in the scheduler. */
void vcpu_reset(struct vcpu *v);
/* Make v's state the one in this CPU's registers; nothing is done if it is already. */
void vcpu_load(struct vcpu *v);
/* v will not run again: forget that its state is in this CPU's registers. */
void vcpu_unload(struct vcpu *v);
