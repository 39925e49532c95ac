/* What the exception entry hands to kernel/core/panic.c. */
#pragma once

#include <kernel/x86/trap.h>

/* An exception that nobody expected: print it all and stop. */
void panic_trap(const struct trap_frame *f) __noreturn;
/* An NMI: another CPU panics, and this one stops; or a stray one, which is counted and ignored. */
void panic_nmi(void);
