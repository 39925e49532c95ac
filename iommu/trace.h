/* A ring of the latest events of the IOMMU core, always on: some twenty instructions per event. The
 * control domain reads it. */
#pragma once

#include <iommu/hw.h>
#include <kernel/abi/iommu.h>
#include <kernel/lib/atomic.h>

#define TRACE_EVENTS 1024u /* a power of two */

/* An event's number is cleared first and written last, so that a reader sees that the slot is being
 * overwritten. Times are cycles here. */
extern struct weir_trace_event trace_ring[TRACE_EVENTS];
extern u64 trace_next;

/* Any context, lock-free. The kind tells what a and b are: kernel/abi/iommu.h. */
static inline void trace(enum weir_trace_kind kind, u16 owner, u16 who, u64 a, u64 b)
{
	u64 number = __atomic_fetch_add(&trace_next, 1, __ATOMIC_RELAXED);
	struct weir_trace_event *e = &trace_ring[number % TRACE_EVENTS];

	(void)atomic_xchg(&e->number, 0UL);
	write_once(&e->time, hw_cycles());
	write_once(&e->kind, (u16)kind);
	write_once(&e->owner, owner);
	write_once(&e->who, who);
	write_once(&e->a, a);
	write_once(&e->b, b);
	store_release(&e->number, number);
}
