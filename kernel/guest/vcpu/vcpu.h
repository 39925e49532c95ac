/* A virtual CPU, as everything but its back end sees it.
 *
 * A vCPU belongs to one CPU for ever; that CPU's scheduler runs it. There is no kernel thread
 * behind it: an exit is handled to its end, and a vCPU that has to wait is parked with its
 * instruction not executed, so that it comes back to the same exit when it is woken.
 */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/lib/compiler.h>
#include <kernel/core/cpu.h>
#include <kernel/lib/list.h>
#include <kernel/guest/vcpu/vlapic.h>
#include <kernel/guest/vcpu/vm.h>

struct guest_entry;

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

/* What the memory and instruction emulation must know of the processor's mode. */
struct vcpu_mode {
	u64 cr0, cr3, cr4, efer;
	u64 cs_base;
	bool cs_long, cs_32; /* CS.L, CS.D */
	unsigned int cpl;
};

/* As the instruction encoding numbers them (SDM vol. 2, table 2-11). */
enum guest_segment { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

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

/* --- back end (svm/, later vmx/) --------------------------------------------------------------------- */

struct vcpu_backend {
	const char *name;
	bool (*supported)(void); /* logs why not */
	int (*cpu_init)(void); /* on each CPU */
	int (*create)(struct vcpu *v);
	void (*destroy)(struct vcpu *v);
	/* The state after power-on, of one that is new or dead. */
	void (*reset)(struct vcpu *v);
	/* Load a 32-bit flat protected-mode state (multiboot, PVH), or a real-mode one (SIPI
	 * vector). */
	void (*set_entry)(struct vcpu *v, const struct guest_entry *entry);
	void (*set_sipi)(struct vcpu *v, u8 vector);
	/* The vCPU is about to run on this CPU, where another one ran before. */
	void (*load)(struct vcpu *v);
	/* Enter the guest once, until an exit. */
	void (*enter)(struct vcpu *v);

	/* For the common exit handling; its own CPU, between exit and entry. */
	void (*mode)(const struct vcpu *v, struct vcpu_mode *mode);
	u64 (*segment_base)(const struct vcpu *v, enum guest_segment s);
	/* Go on at rip; ends an interrupt shadow. */
	void (*set_rip)(struct vcpu *v, u64 rip);
	/* Raise an exception at the next entry; error < 0: it has no error code. */
	void (*inject)(struct vcpu *v, u8 vector, s64 error);
	void (*set_cr2)(struct vcpu *v, u64 cr2);
	/* EFER, PAT, TSC: the MSRs whose values the back end keeps. */
	u64 (*read_msr)(const struct vcpu *v, u32 msr);
	void (*write_msr)(struct vcpu *v, u32 msr, u64 value);
};
extern const struct vcpu_backend *vcpu_backend; /* NULL: this machine cannot run guests */
/* Choose and initialise the back end on this CPU; logs the reason if there is none. Each CPU, at
 * boot. */
int vcpu_backend_init(void);

/* The next vCPU of a machine; its id is vm->nr_vcpus before the call, `cpu` is the real CPU's id. It starts offline. NULL: no
 * memory. Boot. */
struct vcpu *vcpu_create(struct vm *vm, u32 cpu, u8 priority) __must_check;
void vcpu_destroy(struct vcpu *v);
/* One that is new or dead is as after power-on, and offline. Nobody raises interrupts for it meanwhile. */
void vcpu_power_on(struct vcpu *v);
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

/* --- scheduler (kernel/guest/vcpu/sched.c) ------------------------------------------------------------------------------------ */

/* Before any vCPU is made; boot. */
void sched_init(void);
/* Never returns: runs work, vCPUs by priority and round robin, halts when there is nothing. Each exit
 * of a vCPU is handled by handle_exit(). */
void sched_enter(void (*handle_exit)(struct vcpu *v)) __noreturn;
