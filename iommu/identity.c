/* Computing and mapping the control domain's identity map. */
#include <iommu/identity.h>

#include <iommu/unit.h>

#define FRAMES_BELOW_4G (1UL << 20)
/* Writes there are interrupts, never memory (VT-d 3.14). */
#define INTERRUPT_WINDOW_FIRST 0xfee00UL
#define INTERRUPT_WINDOW_LAST 0xfeeffUL

int identity_reserved(const struct rangeset *reserved, const struct rangeset *holes,
		      struct rangeset *out)
{
	int ret = 0;

	rangeset_for_each(r, reserved)
		if (!ret && r->first < FRAMES_BELOW_4G)
			ret = rangeset_add(out, r->first, MIN(r->last, FRAMES_BELOW_4G - 1));
	if (!ret)
		ret = rangeset_remove(out, INTERRUPT_WINDOW_FIRST, INTERRUPT_WINDOW_LAST);
	for (u32 i = 0; !ret && i < iommu_dmar.nr_units; i++) {
		const struct dmar_unit *u = &iommu_dmar.unit[i];
		mfn_t first = u->base >> PAGE_SHIFT;

		ret = rangeset_remove(out, first, first + (u->size >> PAGE_SHIFT) - 1);
	}
	rangeset_for_each(r, holes)
		if (!ret)
			ret = rangeset_remove(out, r->first, r->last);
	return ret;
}

int identity_map(struct iommu_gather *g, const struct rangeset *frames, u32 flags)
{
	const struct range *failed = NULL;
	int ret = 0;

	rangeset_for_each(r, frames) {
		ret = iommu_map(g, r->first, r->first, r->last - r->first + 1,
				IOMMU_READ | IOMMU_WRITE | flags);
		if (ret) {
			failed = r;
			break;
		}
	}
	/* Whole ranges: nothing of them is split. */
	for (const struct range *r = frames->range; failed && r < failed; r++)
		iommu_unmap(g, r->first, r->last - r->first + 1);
	return ret;
}
