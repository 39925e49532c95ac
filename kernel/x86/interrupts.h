/* RFLAGS.IF and HLT. SDM vol. 2, STI: interrupts come in only after the instruction that follows
 * STI. */
#pragma once

#include <kernel/lib/compiler.h>

static inline void interrupts_off(void)
{
	__asm__ volatile("cli" ::: "memory");
}

static inline void interrupts_on(void)
{
	__asm__ volatile("sti" ::: "memory");
}

/* Let pending interrupts in: they come at the NOP. */
static inline void interrupts_window(void)
{
	__asm__ volatile("sti; nop; cli" ::: "memory");
}

/* Sleep until an interrupt; it has been handled on return. None can slip in between STI and HLT. */
static inline void interrupts_on_and_halt(void)
{
	__asm__ volatile("sti; hlt" ::: "memory");
}

/* The same, with interrupts off on return. */
static inline void halt_until_interrupt(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}

/* Stop this CPU: only NMI, INIT and the like are taken from now on. */
static inline void __noreturn halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}
