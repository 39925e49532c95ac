/* Sleep without losing a wake-up. */
#pragma once

#include <kernel/compiler.h>

/* Called by interrupt handlers: the main loop has something to do. */
void idle_wake(void);
/* Halt until an idle_wake() since the last return, or until clock_ns() has reached `deadline`. May return early. */
void idle_until(u64 deadline);
/* How long the CPU has been halted since the start, in ns. */
u64 idle_ns(void);
