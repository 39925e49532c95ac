/* How a domain gets memory: all of it at boot; what it has given back, when it asks for it; and all
 * of it again when it is restarted. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>
#include <kernel/lib/types.h>

struct memory;

/* A new domain is to have so many bytes. -ENOMEM: there are fewer; the log says how many. Boot. */
int __must_check memory_build_begin(struct memory *m, u64 bytes);
/* Allocate a bounded part of them in the largest available blocks, and map it for CPUs and, if
 * has_devices is set, for devices: from *gfn (initially 0), which is advanced. What it gets must
 * then be cleared (kernel/guest/memory/clear.h). Interrupts are taken meanwhile. Returns a step
 * (STEP_WAIT: try again later) or an error, which is logged. */
int __must_check memory_build_step(struct memory *m, gfn_t *gfn);
/* Allocate zeroed memory for a bounded part of [gfn, gfn + nr), where there is none. Interrupts
 * are taken meanwhile, unless nr is CLEAR_STEP or less: only then may a lock be held. Returns the
 * number of frames processed (>= 1). -EAGAIN: an earlier release of these frames is in progress, or
 * the pool is returning frames: try again when the domain is woken; -EINVAL: not all of it is RAM;
 * -ENOMEM. */
s64 memory_populate(struct memory *m, gfn_t gfn, u64 nr);
/* For a domain that restarts, once neither CPUs nor devices can reach its memory: replace a bounded
 * part of the memory that it had given back, starting at *gfn (initially 0). All of it must then be
 * cleared. Returns a step (STEP_WAIT: try again later) or -ENOMEM. */
int __must_check memory_renew_step(struct memory *m, gfn_t *gfn);
