/* Clearing memory before somebody else can reach it. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct memory;

/* How many frames are cleared before interrupts are taken: 1 MiB, about 130,000 instructions. */
#define CLEAR_STEP 256UL

/* Clear nr frames, also for devices that bypass the CPU's caches, and take interrupts after each
 * CLEAR_STEP of them but the last. No lock may be held if nr is larger than that. */
void clear_frames(mfn_t mfn, u64 nr);

/* Called by memory_init(). */
void memory_clear_init(struct memory *m);
/* Start to clear all of a domain's memory, by all CPUs that have nothing else to do. None of its
 * vCPUs or devices may run, and nothing else may change its memory meanwhile. */
void memory_clear_start(struct memory *m);
/* False: all of it has been cleared. */
bool memory_is_clearing(struct memory *m);
/* The domain is ending: stop. False: a CPU is not done with its step; call again later. */
bool __must_check memory_clear_stop(struct memory *m);
