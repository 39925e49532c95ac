/* Between any two memory accesses of the code under test, the hardware may act. */
#pragma once

#include <kernel/lib/types.h>

/* Called there at random, never from inside itself. NULL: nothing happens. */
extern void (*interleave_hook)(void);
/* So many accesses apart at most. */
void interleave_set(u64 every);
/* Here. */
void interleave_now(void);
/* A line of memory that was written lately; 0 if there was none. */
paddr_t interleave_line(void);
