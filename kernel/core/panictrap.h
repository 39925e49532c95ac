/* The exception entry's interface to kernel/core/panic.c. */
#pragma once

#include <kernel/x86/trap.h>

/* An unexpected exception: print it and stop. */
void panic_trap(const struct trap_frame *f) __noreturn;
/* An NMI. If another CPU has panicked, this CPU stops; otherwise the NMI is counted and ignored. */
void panic_nmi(void);
