/* Segments, task state and the interrupt stacks of one CPU (SDM vol. 3, 3.4, 8.7). */
#pragma once

#include <kernel/x86/segment.h>

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS 0x18

/* Stacks that the CPU switches to by itself, for what may come when RSP is bad or in the middle of
 * anything. */
enum ist { IST_NONE, IST_NMI, IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_COUNT };
#define IST_STACK_SIZE 8192

struct segments {
	u64 gdt[5];
	struct tss tss __aligned(8);
	u8 stack[IST_COUNT - 1][IST_STACK_SIZE] __aligned(16);
};

/* Fill in and load on the calling CPU; s lives for ever. */
void segments_load(struct segments *s);
