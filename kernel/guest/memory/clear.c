/* See kernel/guest/memory/clear.h. */
#include <kernel/guest/memory/clear.h>

#include <iommu/iommu.h>
#include <kernel/core/irq.h>
#include <kernel/core/paging.h>
#include <kernel/lib/string.h>

void clear_frames(mfn_t mfn, u64 nr)
{
	for (u64 n; nr; mfn += n, nr -= n) {
		n = MIN(nr, CLEAR_STEP);
		memset(mfn_to_virt(mfn), 0, n << PAGE_SHIFT);
		iommu_cleared(mfn, n);
		if (nr > n)
			irq_window();
	}
}
