/* Bringing up CPUs: what each does for itself, and the starting of the others. */
#pragma once

#include <kernel/core/cpu.h>
#include <kernel/core/gdt.h>

/* All that a CPU has of its own, in one piece. */
struct cpu_area {
	struct cpu cpu; /* first: kernel/core/cpu.h reaches it by GS */
	struct segments segments;
};

/* The bootstrap processor, before anything that may panic: per-CPU data, segments, exceptions. */
void cpu_init_boot(void);
/* The calling CPU: GS, segments, exceptions, control registers. */
void cpu_init(struct cpu_area *area);
/* Tell of features that are missing and that Weir can not do without. False: stop. */
bool cpu_check(void) __must_check;
