/* Events and units of the IOMMU core. A domain's own counters are in struct weir_stats. */
#pragma once

#include <stdint.h>

/* Kinds of events. Each event has an owner, which is a domain id (0xffff: none), and the fields
 * `who`, `a` and `b`, with the meanings given here. */
enum weir_trace_kind {
	WEIR_TRACE_MAP = 1, /* who: batch; device frame, frames */
	WEIR_TRACE_UNMAP = 3, /* the same */
	WEIR_TRACE_SPLIT, /* who: batch; machine frame, level of the leaf that was split */
	WEIR_TRACE_COLLAPSE, /* who: batch; machine frame, level of the leaf that came out */
	WEIR_TRACE_UNLINK, /* who: batch; device frame, level of the entry that held the table */
	WEIR_TRACE_COMMIT, /* who: batch; first and last device frame to flush (none if a > b) */
	WEIR_TRACE_ANSWERED, /* who: batch; nanoseconds since the commit, 0 */
	WEIR_TRACE_RELEASED, /* who: batch; frames held until now, 0 */
	WEIR_TRACE_DEVICE_TLB, /* who: bus/device/function; first and last device frame to flush */
	WEIR_TRACE_ATTACH, /* who: bus/device/function; flags of the attaching, unit */
	WEIR_TRACE_ISOLATE, /* who: bus/device/function; detached, 0 */
	WEIR_TRACE_ISOLATED, /* the same */
	WEIR_TRACE_FAULT, /* who: bus/device/function; address, reason (VT-d 7.2.3) */
	WEIR_TRACE_ERROR, /* who: unit; FSTS_REG, IQERCD_REG */
};

struct weir_trace_event {
	uint64_t number; /* starts at 1; missing numbers were overwritten before they were read */
	uint64_t time; /* ns since boot */
	uint16_t kind; /* enum weir_trace_kind */
	uint16_t owner, who;
	uint16_t reserved;
	uint64_t a, b;
};
_Static_assert(sizeof(struct weir_trace_event) == 40, "a change needs a new version");

struct weir_unit_stats {
	uint64_t base; /* of its registers */
	uint64_t cap, ecap; /* CAP_REG, ECAP_REG */
	uint64_t works; /* translation is on and its queue answers */
	uint64_t devices; /* attached now */
	uint64_t requests_posted, requests_completed; /* each is some descriptors and their waits */
	uint64_t requests_waiting; /* for room in the queue, now */
	uint64_t completion_interrupts;
	uint64_t queue_errors; /* IQE, ICE and ITE */
	uint64_t faults;
	uint64_t interrupt_entries; /* in use in the interrupt-remapping table */
	uint64_t fault_overflows; /* how often its fault records were full, and faults lost */
};
_Static_assert(sizeof(struct weir_unit_stats) == 104, "a change needs a new version");
