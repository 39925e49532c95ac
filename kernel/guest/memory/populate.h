/* How a domain gets memory: all of it at boot, what it gave back when it asks for it, and all of it
 * again when it is restarted. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>
#include <kernel/lib/types.h>

struct memory;

/* Give a new domain its memory in the largest blocks there are, zeroed, and map it for CPUs and (if
 * it will own devices) for devices. -ENOMEM with one line in the log saying what could be had.
 * Boot. */
int __must_check memory_build(struct memory *m, u64 bytes);
/* Take zeroed memory for a bounded part of [gfn, gfn + nr) where there is none. The frames done
 * (>= 1). -EAGAIN: an earlier release of these frames is under way, or frames are: try again when
 * the domain is woken; -EINVAL: not all of it is RAM; -ENOMEM. */
s64 memory_populate(struct memory *m, gfn_t gfn, u64 nr);
/* For a domain that is started again, when neither CPU nor device can reach its memory: take a
 * bounded part of what it gave back again, and clear it with the rest, from *gfn (first 0) on. A
 * step (STEP_WAIT: try again later), or -ENOMEM. */
int __must_check memory_renew_step(struct memory *m, gfn_t *gfn);
