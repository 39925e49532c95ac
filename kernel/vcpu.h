/* A virtual CPU, as everything but its back end sees it.
 *
 * A vCPU belongs to one CPU for ever; that CPU's scheduler runs it. There is no kernel thread behind it: an exit is
 * handled to its end, and a vCPU that has to wait is parked with its instruction not executed, so that it comes back to
 * the same exit when it is woken.
 */
#pragma once

#include <kernel/abi/hypercall.h>
#include <kernel/compiler.h>
#include <kernel/cpu.h>
#include <kernel/list.h>
#include <kernel/vlapic.h>

struct domain;
struct guest_entry;

enum vcpu_state {
	VCPU_OFFLINE, /* waits for INIT/SIPI */
	VCPU_RUNNABLE,
	VCPU_HALTED, /* HLT: until an interrupt */
	VCPU_PARKED, /* in a hypercall: until vcpu_wake() */
	VCPU_DEAD,
};

/* In the order of their encoding in ModRM; the back end keeps rax and rsp here too, between exit and entry. */
enum guest_register { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15 };

struct vcpu {
	struct domain *domain;
	u32 id; /* in its domain; also its virtual APIC id */
	u32 cpu; /* id of the real CPU */
	enum vcpu_state state; /* changed by its own CPU only, but for wake-ups: see sched.c */
	u8 priority;

	u64 reg[16];
	u64 rip, rflags;
	void *arch; /* the back end's: VMCB and so on */

	/* True from just before the world switch until just after it. A shoot-down looks at it after raising
	 * nested.generation; the entry path sets it, then compares the generation, with a full barrier between. */
	bool in_guest;
	u64 nested_generation;

	struct vlapic lapic;
	struct list run_link; /* scheduler */
	u64 quantum_end_ns;
	bool wake_pending; /* a wake-up that came before the vCPU was parked */

	u64 exits[WEIR_NR_EXIT_REASONS];
	u64 interrupts_delivered;
	u64 absent_msrs;
};

/* --- back end (kernel/svm, later kernel/vmx) --------------------------------------------------------------------- */

struct vcpu_backend {
	const char *name;
	bool (*supported)(void); /* logs why not */
	int (*cpu_init)(void); /* on each CPU */
	int (*create)(struct vcpu *v);
	void (*destroy)(struct vcpu *v);
	/* Load a 32-bit flat protected-mode state (multiboot, PVH), or a real-mode one (SIPI vector). */
	void (*set_entry)(struct vcpu *v, const struct guest_entry *entry);
	void (*set_sipi)(struct vcpu *v, u8 vector);
	/* Enter the guest once and handle the exit. Returns when the scheduler should look again or after one exit. */
	void (*run)(struct vcpu *v);
	/* Current privilege level; true in 64-bit mode: for hypercalls. */
	unsigned int (*cpl)(const struct vcpu *v);
	bool (*long_mode)(const struct vcpu *v);
};
extern const struct vcpu_backend *vcpu_backend; /* NULL: this machine cannot run guests */
/* Choose and initialise the back end on this CPU; logs the reason if there is none. Each CPU, at boot. */
int vcpu_backend_init(void);

/* -ENOMEM. `cpu` is the real CPU's id. The vCPU starts offline. */
struct vcpu *vcpu_create(struct domain *d, u32 id, u32 cpu, u8 priority) __must_check;
void vcpu_destroy(struct vcpu *v);
/* Make an offline vCPU runnable at this entry point. */
void vcpu_start(struct vcpu *v, const struct guest_entry *entry);

/* Any CPU. Make the vCPU leave guest mode soon and look at its state again. */
void vcpu_kick(struct vcpu *v);
/* Its own CPU, in an exit: do not advance over the instruction, sleep until vcpu_wake(). A wake-up that came since
 * vcpu_prepare_park() makes this return with the vCPU still runnable. */
void vcpu_prepare_park(struct vcpu *v);
void vcpu_park(struct vcpu *v);
/* Any CPU: a halted or parked vCPU becomes runnable. */
void vcpu_wake(struct vcpu *v);
/* Any CPU: never run it again. */
void vcpu_kill(struct vcpu *v);
/* True once a killed vCPU is certainly not running nor loaded on any CPU. */
bool vcpu_is_stopped(const struct vcpu *v);

/* --- scheduler (kernel/sched.c) ------------------------------------------------------------------------------------ */

/* Per CPU, boot. */
void sched_init(void);
/* Never returns: runs work, vCPUs by priority and round robin, halts when there is nothing. */
void sched_enter(void) __noreturn;

/* --- called by exit handling ---------------------------------------------------------------------------------------- */

/* kernel/hypercall.c: decode and perform the hypercall in v's registers. 0: done, result is in RAX; -EAGAIN: parked, to be
 * restarted. */
int hypercall(struct vcpu *v);
