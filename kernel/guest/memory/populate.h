/* How a domain gets memory: all of it at boot; what it has given back, when it asks for it; and all
 * of it again when it is restarted. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>
#include <kernel/lib/types.h>

struct memory;

/* Allocate `bytes` of zeroed memory for a new domain in the largest available blocks, and map it
 * for CPUs and, if has_devices is set, for devices. Interrupts are taken meanwhile. Errors are
 * logged; -ENOMEM: the log says how much is available. Boot. */
int __must_check memory_build(struct memory *m, u64 bytes);
/* Allocate zeroed memory for a bounded part of [gfn, gfn + nr), where there is none. Interrupts
 * are taken meanwhile, unless nr is CLEAR_STEP or less: only then may a lock be held. Returns the
 * number of frames processed (>= 1). -EAGAIN: an earlier release of these frames is in progress, or
 * the pool is returning frames: try again when the domain is woken; -EINVAL: not all of it is RAM;
 * -ENOMEM. */
s64 memory_populate(struct memory *m, gfn_t gfn, u64 nr);
/* For a domain that restarts, once neither CPUs nor devices can reach its memory: replace a bounded
 * part of the memory that it had given back, and clear that part of its memory, starting at *gfn
 * (initially 0). Interrupts are taken meanwhile. Returns a step (STEP_WAIT: try again later) or
 * -ENOMEM. */
int __must_check memory_renew_step(struct memory *m, gfn_t *gfn);
