/* Between any two memory accesses of the code under test, the hardware may act. */
#pragma once

#include <kernel/lib/types.h>

/* Called at random accesses, never recursively. NULL: nothing happens. */
extern void (*interleave_hook)(void);
/* At most this many accesses apart. */
void interleave_set(u64 every);
/* Calls the hook now. */
void interleave_now(void);
/* A line of memory that was written recently; 0 if there is none. */
paddr_t interleave_line(void);
