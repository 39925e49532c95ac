/* How memory leaves a domain. Giving back is deferred: the nested and the I/O entries become
 * tombstones, one batch counts the remapping units and the CPUs that may still have them cached,
 * and the last answer frees the frames. A domain that ends has nobody left who could reach its
 * memory, so that it is freed directly. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>
#include <kernel/lib/types.h>

struct iommu_gather;
struct memory;

/* Give back a bounded part of [gfn, gfn + nr): the frames passed (>= 1), which are freed later.
 * -EAGAIN: try again when the domain is woken; -EINVAL: not all of it is RAM; -EPERM: the domain's
 * devices use machine addresses; -ENOMEM: a superpage cannot be split. */
s64 memory_release(struct memory *m, gfn_t gfn, u64 nr);
/* Take a bounded part of the RAM of [gfn, gfn + nr) out of all tables; the gather's batch will free
 * it. nested.lock is held. Returns the frames passed, *unmapped those that held memory. */
u64 memory_unmap(struct memory *m, struct iommu_gather *g, gfn_t gfn, u64 nr, u64 *unmapped);

/* For a domain that ends, when neither CPU nor device can reach its memory any more: free a bounded
 * part from *gfn (first 0) on. */
enum step memory_empty_step(struct memory *m, gfn_t *gfn);
