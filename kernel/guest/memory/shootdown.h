/* TLB shoot-down: before a frame is taken from a guest, it must be gone from the CPUs' TLBs.
 *
 *	unmapping CPU                          CPU in guest mode
 *	entry -> tombstone
 *	nested.generation++                    tlb.in_guest = true
 *	full barrier                           full barrier
 *	tlb.in_guest?  expect + IPI            tlb.generation != nested.generation?  flush
 *
 * Of two racing CPUs, at least one sees the other: either the vCPU enters with a flush, or the
 * unmapping CPU sees it in guest mode, and its exit, which the IPI forces, is the answer. Its next
 * entry flushes. A CPU that is not running one of the domain's vCPUs may keep stale entries under a
 * vCPU's ASID, but cannot use them before the flush.
 */
#pragma once

#include <kernel/lib/compiler.h>

struct nested;
struct iommu_gather;

/* Entries have been unmapped under this gather, and the generation has been raised: expect an
 * answer from each CPU that may still have them cached, and interrupt it. n->lock is held. */
void shootdown_post(struct nested *n, struct iommu_gather *g);
/* Make the CPUs flush, without waiting for them. */
void shootdown_kick(struct nested *n);
/* For callers that must know when the flush after shootdown_kick() has happened: true if no CPU can
 * use cached entries that are older than this generation of the tables. */
bool shootdown_done(struct nested *n, u64 generation);
/* Install the interrupt handler. False: no memory. Boot, when all CPUs are online and before any of
 * them runs a guest. */
bool __must_check shootdown_init(void);
