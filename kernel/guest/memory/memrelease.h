/* How memory leaves a domain. Giving memory back is deferred: the nested and the I/O entries become
 * tombstones, one batch counts the remapping units and CPUs that may still have them cached, and
 * the frames are freed after the last answer. When a domain ends, nothing can reach its memory any
 * longer, so it is freed directly. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>
#include <kernel/lib/types.h>

struct iommu_gather;
struct memory;

/* Give back a bounded part of [gfn, gfn + nr). Returns the number of frames processed (>= 1); they
 * are freed later. -EAGAIN: try again when the domain is woken; -EINVAL: not all of it is RAM;
 * -EPERM: the domain's devices use machine addresses; -ENOMEM: a superpage must be split, and there
 * is no memory for that. Whole pages of any size can always be given back. */
s64 memory_release(struct memory *m, gfn_t gfn, u64 nr);
/* Remove a bounded part of the RAM in [gfn, gfn + nr) from all tables; the gather's batch will free
 * it. Returns the number of frames processed; *unmapped says how many of them held memory.
 * nested.lock is held. */
u64 memory_unmap(struct memory *m, struct iommu_gather *g, gfn_t gfn, u64 nr, u64 *unmapped);

/* For a domain that ends, once neither CPUs nor devices can reach its memory: free a bounded part,
 * starting at *gfn (initially 0), and advance *gfn; in the end, the nested tables too. */
enum step memory_empty_step(struct memory *m, gfn_t *gfn);
