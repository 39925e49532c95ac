/* Clearing memory before somebody else can reach it. */
#pragma once

#include <kernel/lib/types.h>

/* How many frames are cleared before interrupts are taken: 1 MiB, about 130,000 instructions. */
#define CLEAR_STEP 256UL

/* Clear nr frames, also for devices that bypass the CPU's caches, and take interrupts after each
 * CLEAR_STEP of them but the last. No lock may be held if nr is larger than that. */
void clear_frames(mfn_t mfn, u64 nr);
