/* The pool: RAM that nobody uses, lent to the control domain, so that its devices may reach it (control-iommu=relaxed or
 * inclusive). Memory for other domains is carved out of it again, by the deferred path as any other memory that leaves a
 * device; what comes back when a domain ends goes into it.
 *
 *	allocator --- pool_return() --> pool (owned and identity-mapped by the control domain)
 *	    ^                             |
 *	    '-- frames freed <-- batch <--' pool_reclaim()
 *
 * The allocator keeps POOL_RESERVE frames for Weir's own tables.
 *
 * Lock: pool.lock, before an IOMMU domain's and the allocator's.
 */
#pragma once

#include <iommu/identity.h>

struct memory;

#define POOL_RESERVE (16UL << (20 - PAGE_SHIFT))

/* Give the control domain its identity map: its own memory and, by the policy, the pool and reserved regions. Boot, with
 * the domain's memory built. wake_all() wakes all domains when frames have come back to the allocator. Failure is told in the
 * log, and leaves the domain without an identity map. */
void pool_start(struct memory *control, enum identity_policy policy, void (*wake_all)(void));
/* Start to carve out at least nr frames: true if frames are on their way to the allocator, and all domains will be woken when
 * they are there. Any context. */
bool pool_reclaim(u64 nr);
/* Boot: sleep until the allocator has nr frames, as far as the pool can give them. */
void pool_make_room(u64 nr);
/* Memory has come back to the allocator: let the pool take what is left over. */
void pool_return(void);
/* d ends: if it is the control domain, nothing is lent or carved out any more. Its I/O tables are still there. */
void pool_close(struct memory *m);
/* The control domain ends, and nothing can reach its memory: give a bounded part of the pool to the allocator. True when
 * all of it is there. */
enum step pool_end_step(struct memory *m);
/* Frames lent now; and those that are on their way to the allocator. */
u64 pool_frames(u64 *carved);
