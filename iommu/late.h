/* Slow units, for tests. In debug images (WEIR_DEBUG) the options late-posts= and late-answers=
 * delay what Weir tells a unit's queue, and what it sees of the unit's answers: an emulated unit
 * is never late by itself. Other images contain nothing of this, nor do the tests on the host,
 * where the model of a unit is slow itself. */
#pragma once

#include <iommu/unit.h>
#include <kernel/lib/atomic.h>

typedef void (*late_look_fn)(struct iommu_unit *u);

#if defined(WEIR_DEBUG) && !defined(WEIR_HOST)
/* From now on the units are late by so many milliseconds. Boot, once. */
void late_start(u32 posts_ms, u32 answers_ms);
/* The unit may take the queue's entries up to this tail (IQT). True: it is told later. Any
 * context. */
bool late_post(struct iommu_unit *u, u32 tail);
/* The unit has answered. True: `look` is called later, in interrupt context, when the answer
 * becomes visible. Interrupt context. */
bool late_answer(struct iommu_unit *u, late_look_fn look);
/* The status word as it is visible. */
u32 late_status(const struct iommu_queue *q);
#else
static inline bool late_post(struct iommu_unit *u __unused, u32 tail __unused)
{
	return false;
}

static inline bool late_answer(struct iommu_unit *u __unused, late_look_fn look __unused)
{
	return false;
}

static inline u32 late_status(const struct iommu_queue *q)
{
	return load_acquire(q->status);
}
#endif
