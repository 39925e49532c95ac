/* A guest that does what no sane one does. Each vCPU takes random steps; each step runs guarded:
 * whatever exception it meets ends the step, and the vCPU goes on with its state mended. What a
 * step does follows from the seed, the vCPU and the step's number. */
#pragma once

#include <tests/guests/guest.h>

#include <kernel/x86/segment.h>

#define MAX_CPUS 16u

/* Nothing of the guest's own lies from here up to the end of its memory. */
#define SPARE 0x800000UL

#define TRAMPOLINE 0x8000UL

#define STACK 8192u

struct cpu {
	u8 exception_stack[STACK], nmi_stack[STACK], stack[2 * STACK];
	struct tss tss;
	u64 gdt[9];
	volatile u64 kept_rsp; /* of the step; 0: no step runs */
	u64 random; /* state of the generator */
	volatile u64 steps; /* begun so far */
	u64 steps_at_nmi;
	u32 id;
	bool dirty; /* a step changes control registers, EFER or the APIC: to be put right behind it
		     */
} __aligned(PAGE_SIZE);

extern struct cpu cpus[MAX_CPUS];

/* A value that is likely to be at some edge: small, a power of two, near one, or anything. */
u64 random64(struct cpu *c);
u64 random_edge(struct cpu *c);
/* 0 .. n - 1 */
u64 random_below(struct cpu *c, u64 n);
static inline bool one_in(struct cpu *c, u64 n)
{
	return !random_below(c, n);
}
/* Something that a guest's physical address may lead to: own memory, device windows, Weir's memory,
 * nothing. */
u64 random_address(struct cpu *c);

/* vCPUs of this guest, its memory in bytes; one in `rare` steps may end it. */
extern u32 nr_cpus;
extern u64 memory_size;
extern u32 rare;

/* Start another vCPU anew, in real mode at this page. */
void startup(u32 id, u64 page);

/* The steps. */
void step_hypercall(struct cpu *c);
void step_memory(struct cpu *c);
void step_msr(struct cpu *c);
void step_cpuid(struct cpu *c);
void step_control_registers(struct cpu *c);
void step_port(struct cpu *c);
void step_pci(struct cpu *c);
void step_mmio(struct cpu *c);
void step_tables(struct cpu *c);
void step_exception(struct cpu *c);
void step_privileged(struct cpu *c);
void step_garbage(struct cpu *c);
void step_interrupts(struct cpu *c);
void step_other_cpu(struct cpu *c);
void step_sleep(struct cpu *c);
void step_end(struct cpu *c);
void step_shatter(struct cpu *c);
void step_dma(struct cpu *c);
void step_bars(struct cpu *c);
void step_log(struct cpu *c);

/* --- recover.c ------------------------------------------------------------ */

/* traps_init() first of all, once. Then: call fn(c); an exception in it ends it. */
void guarded(struct cpu *c, void (*fn)(struct cpu *c));
/* On the vCPU itself, first of all; `id` counts from 0. Returns its record. */
struct cpu *cpu_init(u32 id);

#define SELECTOR_CODE_64 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_CODE_32 0x18
#define SELECTOR_CODE_16 0x20
#define SELECTOR_USER_DATA 0x2b
#define SELECTOR_USER_CODE 0x33

/* --- code.c --------------------------------------------------------------- */

/* Instructions that a vCPU executes, made of bytes; a second page of it may be shared with another
 * vCPU that changes them. */
struct code {
	u8 *bytes;
	u32 nr;
};
/* Where the segment of 16-bit code begins, for its descriptor. */
u64 code_base_16(void);
struct code code_begin(struct cpu *c);
void code_byte(struct code *code, u64 byte);
void code_end(struct code *code);
/* Execute it with these registers, RAX first, as the SDM numbers them (RSP's is ignored), in a code
 * segment. */
void code_run(struct cpu *c, const struct code *code, const u64 reg[16], u16 selector);
/* An instruction with a memory operand, at `reg` or near it. `strange`: also those that nobody
 * emulates. */
void code_memory_instruction(struct cpu *c, struct code *code, bool strange);
