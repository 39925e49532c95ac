/* Segments, task state and the interrupt stacks of one CPU (SDM vol. 3, 3.4, 8.7). */
#pragma once

#include <kernel/lib/compiler.h>

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS 0x18

/* Stacks to which the CPU switches by itself, for exceptions that may come when RSP is bad, or
 * between any two instructions. */
enum ist { IST_NONE, IST_NMI, IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_COUNT };
#define IST_STACK_SIZE 8192

struct tss {
	u32 reserved0;
	u64 rsp[3];
	u64 reserved1;
	u64 ist[7];
	u64 reserved2;
	u16 reserved3;
	u16 io_map_base;
} __packed;
_Static_assert(sizeof(struct tss) == 104, "SDM vol. 3, 8.7");

struct segments {
	u64 gdt[5];
	struct tss tss __aligned(8);
	u8 stack[IST_COUNT - 1][IST_STACK_SIZE] __aligned(16);
};

/* Fill them in, and load them on the calling CPU. *s must never be freed. */
void segments_load(struct segments *s);
