/* The interface between the common code and the hardware's virtualisation: AMD SVM (svm/), later
 * Intel VMX. */
#pragma once

#include <kernel/guest/vcpu/breakpoint.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/compiler.h>
#include <kernel/x86/control.h>

struct guest_entry;

/* What the emulation of instructions and memory accesses must know about the processor's mode. */
struct vcpu_mode {
	u64 cr0, cr3, cr4, efer;
	u64 cs_base;
	bool cs_long, cs_32, ss_32; /* CS.L, CS.D, SS.B */
	unsigned int cpl;
};

/* True in 64-bit mode, that of LMA and CS.L (APM vol. 2, 1.2). */
static inline bool mode_is_64bit(const struct vcpu_mode *m)
{
	return (m->efer & EFER_LMA) && m->cs_long;
}

/* The size of the code segment that executes: 16, 32 or 64. */
static inline unsigned int mode_code_bits(const struct vcpu_mode *m)
{
	return mode_is_64bit(m) ? 64 : m->cs_32 ? 32 : 16;
}

/* Numbered as in the instruction encoding (SDM vol. 2, table 2-11). */
enum guest_segment { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS };

struct vcpu_backend {
	const char *name;
	const char *(*why_unsupported)(void); /* on each CPU; NULL: this CPU has it */
	int (*cpu_init)(void); /* on each CPU */
	int (*create)(struct vcpu *v);
	void (*destroy)(struct vcpu *v);
	/* Set the state after power-on. The vCPU is new or dead. */
	void (*reset)(struct vcpu *v);
	/* Set a flat 32-bit protected-mode state (Multiboot, PVH), or a real-mode state (SIPI
	 * vector). */
	void (*set_entry)(struct vcpu *v, const struct guest_entry *entry);
	void (*set_sipi)(struct vcpu *v, u8 vector);
	/* Enter the guest once; returns after the exit. */
	void (*enter)(struct vcpu *v);

	/* For the common exit handling. On the vCPU's own CPU, between exit and entry. */
	void (*mode)(const struct vcpu *v, struct vcpu_mode *mode);
	u64 (*segment_base)(const struct vcpu *v, enum guest_segment s);
	/* The instruction has been executed, or one repetition if rip is where it is: continue at
	 * rip. Ends an interrupt shadow; raises the #DB of a single step. True: the guest has
	 * breakpoints, so accessed() must be told of memory and ports. */
	bool (*set_rip)(struct vcpu *v, u64 rip);
	bool (*has_breakpoints)(const struct vcpu *v);
	/* After set_rip(): raise #DB if there is a breakpoint at this linear address or port. */
	void (*accessed)(struct vcpu *v, enum access_kind kind, u64 address, unsigned int size);
	/* Raise an exception at the next entry. error < 0: it has no error code. */
	void (*inject)(struct vcpu *v, u8 vector, s64 error);
	void (*set_cr2)(struct vcpu *v, u64 cr2);
	/* A write to CR4, with the flush of the TLB that it causes. */
	void (*write_cr4)(struct vcpu *v, u64 cr4);
	/* EFER, PAT and TSC, the MSRs whose values the back end keeps. */
	u64 (*read_msr)(const struct vcpu *v, u32 msr);
	void (*write_msr)(struct vcpu *v, u32 msr, u64 value);
	/* Log the registers, and the events that the last exit interrupted. */
	void (*log_state)(const struct vcpu *v);
	/* What the guest's TSC is ahead of Weir's, exactly, modulo 2^64. */
	u64 (*tsc_offset)(const struct vcpu *v);
};
extern const struct vcpu_backend *vcpu_backend; /* NULL: this machine cannot run guests */
/* Why vcpu_backend is NULL, for a line of the log. */
const char *vcpu_why_no_backend(void);
/* Choose the back end, and initialise it on the calling CPU. -ENODEV: this machine cannot run
 * guests; -ENOMEM. Errors are logged. Each CPU, at boot. */
int vcpu_backend_init(void);
