/* The pool: unused RAM, lent to the control domain so that its devices can reach it
 * (control-iommu=relaxed or inclusive). Memory for other domains is carved out of the pool through
 * the same deferred release as any other memory that devices lose. Memory that a domain returns
 * when it ends goes back into the pool.
 *
 *	allocator --- pool_return() --> pool (owned and identity-mapped by the control domain)
 *	    ^                             |
 *	    '-- frames freed <-- batch <--' pool_reclaim()
 *
 * The allocator keeps POOL_RESERVE frames for Weir's own tables. What is lent is cleared first, by
 * CPUs that have nothing else to do (kernel/core/background.h), when all domains have their memory.
 *
 * Lock: pool.lock, taken before the locks of IOMMU domains and of the allocator.
 */
#pragma once

#include <iommu/identity.h>

struct memory;

#define POOL_RESERVE (16UL << (20 - PAGE_SHIFT))

/* Begin the control domain's identity map: its own memory (pool_map_own_step()) and, depending on
 * the policy, the pool and reserved regions. Boot, after the domain's memory has been built.
 * wake_all() is called to wake all domains when frames have returned to the allocator. */
void pool_start(struct memory *control, enum identity_policy policy, void (*wake_all)(void));
/* Map a bounded part of the control domain's own memory, from *gfn (initially 0), which is
 * advanced. A failure is logged, and nothing is lent then. */
enum step pool_map_own_step(struct memory *m, gfn_t *gfn);
/* All domains have their memory: start to lend what is free beyond the reserve. Boot. */
void pool_open(void);
/* Start to carve out at least nr frames. True: frames are on their way to the allocator, and all
 * domains will be woken when they arrive. Any context. */
bool pool_reclaim(u64 nr);
/* Memory has returned to the allocator: lend what is free beyond the reserve. */
void pool_return(void);
/* This domain ends: if it owns the pool, nothing is lent or carved out from now on. Its I/O tables
 * must still exist. */
void pool_close(struct memory *m);
/* For the control domain's end, once nothing can reach its memory: return a bounded part of the
 * pool to the allocator. STEP_DONE: all of it has been returned. */
enum step pool_end_step(struct memory *m);
/* The number of frames lent now; *carved: of those on their way back to the allocator. */
u64 pool_frames(u64 *carved);
