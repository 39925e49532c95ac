/* Segments, task state and the interrupt stacks of one CPU (SDM vol. 3, 3.4, 8.7). */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/x86/segment.h>

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS 0x18

/* Stacks to which the CPU switches by itself, for exceptions that may come when RSP is bad, or
 * between any two instructions. */
enum ist { IST_NONE, IST_NMI, IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_COUNT };
#define IST_STACK_PAGES 2

struct segments {
	u64 gdt[5];
	struct tss tss __aligned(8);
};

/* The first CPU's stacks, which lie in the image. */
void segments_use_image_stacks(struct segments *s);
/* Unmap the page below each of them. The first CPU, after paging_init(). */
void segments_guard_image_stacks(void);
/* Another CPU's stacks, with an unmapped page below each. -ENOMEM. */
int __must_check segments_map_stacks(struct segments *s);
/* Load them on the calling CPU, stacks included. *s must never be freed. */
void segments_load(struct segments *s);
/* The name of the stack with this unmapped page below it, or NULL: it is none of these. */
const char *segments_stack_above(const struct segments *s, const void *va);
