/* How CPUs answer a batch: a frame that leaves a guest must leave the CPUs' TLBs too.
 *
 *	unmapping CPU                          CPU in guest mode
 *	entry -> tombstone
 *	nested.generation++                    tlb.in_guest = true
 *	full barrier                           full barrier
 *	tlb.in_guest?  expect + IPI            tlb.generation != nested.generation?  flush
 *
 * Of two racing CPUs at least one sees the other: either the vCPU enters with a flush, or it is seen in guest mode and
 * its exit, which the IPI forces, is the answer. It enters again only with a flush. A CPU that runs no vCPU of the domain
 * may keep stale entries under that vCPU's ASID, but cannot use them before the flush.
 */
#pragma once

#include <kernel/lib/compiler.h>

struct nested;
struct iommu_gather;

/* The tables have lost entries under this gather (n->lock held, generation raised):
 * expect an answer from each CPU that may still have them cached, and interrupt it. */
void shootdown_post(struct nested *n, struct iommu_gather *g);
/* Make the CPUs flush, with nobody waiting for it. */
void shootdown_kick(struct nested *n);
/* After shootdown_kick(), which may have to be awaited after all: no CPU has anything cached that is older than this generation
 * of the tables. */
bool shootdown_done(struct nested *n, u64 generation);
/* Set the interrupt up; boot. */
void shootdown_init(void);
