/* What each CPU does for itself when it starts. kernel/core/smp.h starts the others. */
#pragma once

#include <kernel/core/cpu.h>
#include <kernel/core/gdt.h>

/* Everything that belongs to one CPU, in one allocation. */
struct cpu_area {
	struct cpu cpu; /* first: kernel/core/cpu.h reaches it by GS */
	struct segments segments;
};

/* The bootstrap processor, before anything that may panic: per-CPU data, segments, exceptions. */
void cpu_init_boot(void);
/* The calling CPU, whose area names its stacks: GS, segments, exceptions, control registers,
 * PAT. */
void cpu_init(struct cpu_area *area);
/* The name of the interrupt stack of the calling CPU with this unmapped page below it, or NULL. */
const char *cpu_stack_above(const void *va);
/* After an exception that may have come while GS was a guest's: this_cpu() works again. */
void cpu_repair_gs(void);
/* Log the CPU, and what it lacks. False: Weir cannot run on it. */
bool cpu_check(void) __must_check;
