/* The entry stubs of kernel/x86/trap.inc, and the frame that they push. */
#pragma once

#include <kernel/lib/compiler.h>

/* The reverse of the order in which the CPU and the stubs push. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error; /* error: 0 where the CPU pushes none */
	u64 rip, cs, rflags, rsp, ss; /* pushed by the CPU */
};
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "kernel/x86/trap.inc");

#define NR_VECTORS 256
#define TRAP_STUB_SIZE 16

extern const u8 trap_stubs[NR_VECTORS][TRAP_STUB_SIZE];

/* The handler, which the program provides. Interrupts are off. It may change the frame. */
void trap(struct trap_frame *f);
