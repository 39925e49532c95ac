/* A ring of the latest events of the IOMMU core, which the control domain reads. What happens to a
 * device is always recorded, what happens to pages only while somebody has switched that on:
 * otherwise it costs two instructions per event. */
#pragma once

#include <kernel/abi/iommu.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

#define TRACE_EVENTS 1024u /* a power of two */

/* Record the frequent events too: iommu_trace_pages(). */
extern bool trace_pages;

/* Record a rare event: of a device, a fault, an error of a queue. Any context, lock-free. The kind
 * tells what a and b are: kernel/abi/iommu.h. */
void trace_always(enum weir_trace_kind kind, u16 owner, u16 who, u64 a, u64 b);

/* The same for what happens with every mapping. */
static inline void trace(enum weir_trace_kind kind, u16 owner, u16 who, u64 a, u64 b)
{
	if (unlikely(trace_pages))
		trace_always(kind, owner, who, a, b);
}
