/* Exceptions and interrupts, as kernel/core/exceptions.asm delivers them. */
#pragma once

#include <kernel/lib/compiler.h>

/* In the order in which the stubs push. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss; /* pushed by the CPU */
};
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "kernel/core/exceptions.asm");

enum exception {
	EXC_NMI = 2,
	EXC_DOUBLE_FAULT = 8,
	EXC_PAGE_FAULT = 14,
	EXC_MACHINE_CHECK = 18,
};

/* Load the table on the calling CPU. The first call builds it. */
void idt_load(void);

/* rdmsr and wrmsr for a register that may not exist: false then. */
bool rdmsr_safe(u32 msr, u64 *value) __must_check;
bool wrmsr_safe(u32 msr, u64 value) __must_check;
