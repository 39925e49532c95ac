/* A virtual CPU, as all code except its back end sees it.
 *
 * A vCPU belongs to one CPU forever; that CPU's scheduler runs it. It has no kernel thread: an exit
 * is handled without blocking. A vCPU that has to wait is parked without advancing past its
 * instruction, so it causes the same exit again when it is woken.
 */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/core/cpu.h>
#include <kernel/guest/memory/guestram.h>
#include <kernel/guest/vcpu/vlapic.h>
#include <kernel/guest/vcpu/vm.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/list.h>

enum vcpu_state {
	VCPU_OFFLINE, /* waiting for INIT/SIPI */
	VCPU_RUNNABLE,
	VCPU_HALTED, /* in HLT, until an interrupt */
	VCPU_PARKED, /* in a hypercall or an access to a device, until vcpu_wake() */
	VCPU_DEAD,
};

/* Numbered as encoded in ModRM. RAX and RSP are in vcpu.reg[] too, between exit and entry. */
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
	struct vm *vm; /* the machine it belongs to */
	u32 id; /* index in its domain; also its virtual APIC id */
	u32 exit_ring_vcpu; /* its records: kernel/guest/vcpu/exitring.h */
	u8 priority; /* higher values run first */

	/* Guarded by its CPU's scheduler lock. */
	enum vcpu_state state;
	bool wake_pending; /* a wake-up came before the vCPU was parked */
	bool kill_pending, init_pending; /* requests for its own CPU */
	bool sipi_pending; /* a SIPI came before that INIT was handled */
	u8 sipi_vector;
	bool queued; /* on the run queue */
	struct list run_link;

	/* The next entry must look at what is pending: at interrupts, NMIs, an exception, the
	 * timer, a flush of the TLB. Whoever makes something pending sets it afterwards, on any
	 * CPU; an entry leaves it set while something stays pending. 0 or 1; a bool would be
	 * compared once more. */
	u8 attention;
	struct nested_tlb tlb; /* which CPU it belongs to, and what that CPU may have cached */
	/* NMIs that others have sent, one bit for each: 0, 1 or 3. */
	u32 nmi_arrived;
	/* On its own CPU, or while it does not run: how many wait to be injected, and whether one
	 * is in service, so that the next must wait. */
	u8 nmi_waiting;
	bool nmi_masked;
	bool extint_offered; /* kernel/guest/vcpu/extint.h: between an entry and its exit */

	/* The guest's registers between exit and entry. */
	u64 reg[16];
	u64 rip, rflags;
	void *arch; /* the back end's record: VMCB and so on */
	void *fpu; /* XSAVE area; valid while another vCPU's state is in the registers */
	u64 xcr0;
	u64 cr4_allowed; /* policy_cr4() */
	u64 dr[4]; /* DR0 to DR3, valid likewise; the back end has DR6 and DR7 */
	u64 tsc_aux;
	u64 kvmclock; /* kernel/guest/vcpu/kvmclock.c: the MSR; where the guest wants the time */
	u32 kvmclock_version;
	struct guest_ram ram; /* for its instructions; on its own CPU */
	struct vlapic lapic;

	u64 quantum_end_ns;
	u64 owed_ns; /* time of other vCPUs that its interrupts took: sched_charge() */
	u64 exits[WEIR_NR_EXIT_REASONS];
	u64 msr_exits[WEIR_NR_MSR_EXITS];
	u64 interrupts_delivered, interrupts_taken;
	u64 absent_msrs;
};

/* Create the next vCPU of a machine, to run on the CPU with id `cpu`. Its own id is vm->nr_vcpus
 * before the call. It starts offline. NULL: no memory. Boot. */
struct vcpu *vcpu_create(struct vm *vm, u32 cpu, u8 priority) __must_check;
/* Free a vCPU, which may be incomplete. It must not be loaded on a CPU. */
void vcpu_destroy(struct vcpu *v);
/* Set the state after power-on, except for what the scheduler uses. The vCPU is new or dead. */
void vcpu_reset(struct vcpu *v);
/* Load v's state into this CPU's registers, unless it is already there. */
void vcpu_load(struct vcpu *v);
/* v will not run again: forget its state, if it is in this CPU's registers. */
void vcpu_unload(struct vcpu *v);
