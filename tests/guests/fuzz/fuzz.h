/* A guest that does everything a sane one does not. Each vCPU takes random steps. Each step runs
 * guarded: an exception ends it, and the vCPU continues after its state was restored. What a step
 * does depends on the seed, the vCPU and the number of the step. */
#pragma once

#include <tests/guests/guest.h>

#include <kernel/x86/segment.h>

#define MAX_CPUS 16u

/* The guest does not use its memory from here on. */
#define SPARE 0x800000UL

#define TRAMPOLINE 0x8000UL

#define STACK 8192u

struct cpu {
	u8 exception_stack[STACK], nmi_stack[STACK], stack[2 * STACK];
	struct tss tss;
	u64 gdt[9];
	volatile u64 kept_rsp; /* to return from the step; 0: no step is running */
	u64 random; /* state of the generator */
	volatile u64 steps; /* begun so far */
	u64 steps_at_nmi;
	u32 id;
	bool dirty; /* the step changes control registers, EFER or the APIC: restore them */
} __aligned(PAGE_SIZE);

extern struct cpu cpus[MAX_CPUS];

u64 random64(struct cpu *c);
/* A likely edge case: a small value, a power of two, a value near one, or anything. */
u64 random_edge(struct cpu *c);
/* 0 .. n - 1 */
u64 random_below(struct cpu *c, u64 n);
static inline bool one_in(struct cpu *c, u64 n)
{
	return !random_below(c, n);
}
/* A guest-physical address: in or near the guest's memory, in a device window, or at nothing. */
u64 random_address(struct cpu *c);

/* vCPUs of this guest, its memory in bytes; one in `rare` steps may end it. */
extern u32 nr_cpus;
extern u64 memory_size;
extern u32 rare;

/* Restart another vCPU, in real mode at this page. */
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

/* Call fn(c); an exception in it ends it. Needs traps_init(), once. */
void guarded(struct cpu *c, void (*fn)(struct cpu *c));
/* Must be called first on each vCPU; `id` counts from 0. Returns the vCPU's record. */
struct cpu *cpu_init(u32 id);

#define SELECTOR_CODE_64 0x08
#define SELECTOR_DATA 0x10
#define SELECTOR_CODE_32 0x18
#define SELECTOR_CODE_16 0x20
#define SELECTOR_USER_DATA 0x2b
#define SELECTOR_USER_CODE 0x33

/* --- code.c --------------------------------------------------------------- */

/* A buffer of instruction bytes for a vCPU. It may be the shared one, which other vCPUs change. */
struct code {
	u8 *bytes;
	u32 nr;
};
/* The base of the 16-bit code segment, for its descriptor. */
u64 code_base_16(void);
struct code code_begin(struct cpu *c);
void code_byte(struct code *code, u64 byte);
void code_end(struct code *code);
/* Execute it in this code segment with these registers, in the SDM's order from RAX (RSP is
 * ignored). */
void code_run(struct cpu *c, const struct code *code, const u64 reg[16], u16 selector);
/* Append an instruction with a memory operand at or near a register. `strange`: also instructions
 * that Weir does not emulate. */
void code_memory_instruction(struct cpu *c, struct code *code, bool strange);
