/* Segments, task state and the interrupt stacks of one CPU (SDM vol. 3, 3.4, 8.7). */
#pragma once

#include <kernel/x86/segment.h>

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS 0x18

/* Stacks to which the CPU switches by itself, for exceptions that may come when RSP is bad, or
 * between any two instructions. */
enum ist { IST_NONE, IST_NMI, IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_COUNT };
#define IST_STACK_SIZE 8192

struct segments {
	u64 gdt[5];
	struct tss tss __aligned(8);
	u8 stack[IST_COUNT - 1][IST_STACK_SIZE] __aligned(16);
};

/* Fill them in, and load them on the calling CPU. *s must never be freed. */
void segments_load(struct segments *s);
