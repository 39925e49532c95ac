/* See kernel/guest/memory/clear.h. */
#include <kernel/guest/memory/clear.h>

#include <iommu/iommu.h>
#include <kernel/core/irq.h>
#include <kernel/core/paging.h>
#include <kernel/guest/memory/memory.h>
#include <kernel/lib/string.h>

/* Clear a part that is small enough for one step. */
static void clear_part(mfn_t mfn, u64 nr)
{
	memset(mfn_to_virt(mfn), 0, nr << PAGE_SHIFT);
	iommu_cleared(mfn, nr);
}

void clear_frames(mfn_t mfn, u64 nr)
{
	for (u64 n; nr; mfn += n, nr -= n) {
		n = MIN(nr, CLEAR_STEP);
		clear_part(mfn, n);
		if (nr > n)
			irq_window();
	}
}

/* --- all of a domain's memory --------------------------------------------- */

/* Take the next part of the memory, at most `most` frames: *mfn, or INVALID_MFN if there is none
 * mapped. Returns its size; 0: there are no further parts. */
static u64 claim_part(struct memory *m, u64 most, mfn_t *mfn)
{
	struct nested_leaf at;
	u64 nr, rest;

	*mfn = INVALID_MFN;
	spin_lock(&m->nested.lock);
	nr = memory_ram_from(m, &m->clear_next);
	if (nr) {
		at = nested_lookup(&m->nested, m->clear_next);
		rest = (1UL << at.order) - (m->clear_next & ((1UL << at.order) - 1));
		nr = MIN(nr, rest);
		if (at.flags && !(at.flags & NESTED_DEVICE)) {
			nr = MIN(nr, most);
			*mfn = at.mfn;
		}
		m->clear_next += nr;
	}
	spin_unlock(&m->nested.lock);
	return nr;
}

/* To find a part takes about as long as to clear a frame. */
static enum step clear_step(struct background *b)
{
	struct memory *m = container_of(b, struct memory, clearing);
	u64 budget = CLEAR_STEP, nr = 1;

	while (budget && nr) {
		mfn_t mfn;

		nr = claim_part(m, budget, &mfn);
		if (nr && mfn != INVALID_MFN) {
			clear_part(mfn, nr);
			budget -= nr;
		}
		budget -= MIN(budget, 1UL);
	}
	return nr ? STEP_MORE : STEP_DONE;
}

void memory_clear_init(struct memory *m)
{
	background_init(&m->clearing, clear_step, true);
}

void memory_clear_start(struct memory *m)
{
	m->clear_next = 0;
	background_queue(&m->clearing, m->pages_owned);
}

bool memory_is_clearing(struct memory *m)
{
	return background_busy(&m->clearing);
}

bool memory_clear_stop(struct memory *m)
{
	return background_cancel(&m->clearing);
}
