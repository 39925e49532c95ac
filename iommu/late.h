/* Units that take their time, for tests. In an image with WEIR_DEBUG the words late-posts= and late-answers= hold back what Weir
 * tells a unit's queue, and what it sees of the unit's answers: an emulated unit is never late by itself. Everywhere else, and on the
 * host, where the model of a unit does it, there is nothing of this. */
#pragma once

#include <iommu/unit.h>
#include <kernel/lib/atomic.h>

#if defined(WEIR_DEBUG) && !defined(WEIR_HOST)
/* From now on the units are late, by so many milliseconds. Boot, once. */
void late_start(u32 posts_ms, u32 answers_ms);
/* The unit may take the queue's entries up to this tail (IQT): true if it is told later. Any context. */
bool late_post(struct iommu_unit *u, u32 tail);
/* The unit has answered: true if `look` is called when that is to be seen, in interrupt context. Interrupt context. */
bool late_answer(struct iommu_unit *u, void (*look)(struct iommu_unit *u));
/* What is seen of the status word. */
u32 late_status(const struct iommu_queue *q);
#else
static inline bool late_post(struct iommu_unit *u __unused, u32 tail __unused)
{
	return false;
}

static inline bool late_answer(struct iommu_unit *u __unused, void (*look)(struct iommu_unit *u) __unused)
{
	return false;
}

static inline u32 late_status(const struct iommu_queue *q)
{
	return load_acquire(q->status);
}
#endif
