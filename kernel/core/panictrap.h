/* The exception entry's interface to kernel/core/panic.c. */
#pragma once

#include <kernel/x86/trap.h>

/* An unexpected exception: print it and stop. */
void panic_trap(const struct trap_frame *f) __noreturn;
/* A machine-check exception in Weir: stop, unless it can go on. */
void panic_machine_check(const struct trap_frame *f);
/* An NMI. If another CPU has panicked, this CPU stops; otherwise the NMI is counted, or stops Weir
 * (nmi=panic). */
void panic_nmi(const struct trap_frame *f);
