/* RFLAGS.IF and HLT. Interrupts are recognised only after the instruction that follows STI (SDM
 * vol. 2, STI). */
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

/* Take pending interrupts: they arrive after the NOP. */
static inline void interrupts_window(void)
{
	__asm__ volatile("sti; nop; cli" ::: "memory");
}

/* Sleep until an interrupt arrives; it has been handled on return. None can arrive between STI and
 * HLT. */
static inline void interrupts_on_and_halt(void)
{
	__asm__ volatile("sti; hlt" ::: "memory");
}

/* The same, with interrupts off on return. */
static inline void halt_until_interrupt(void)
{
	__asm__ volatile("sti; hlt; cli" ::: "memory");
}

/* Stop this CPU: from now on, it takes only NMI, INIT and the like. */
static inline void __noreturn halt_forever(void)
{
	for (;;)
		__asm__ volatile("cli; hlt" ::: "memory");
}
