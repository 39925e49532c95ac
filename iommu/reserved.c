/* Mapping the firmware's reserved memory: each region once per domain, with a count of users. */
#include <iommu/reserved.h>

#include <iommu/map.h>
#include <iommu/unmap.h>
#include <kernel/core/log.h>
#include <kernel/mm/frame.h>

/* No device needs more. It bounds what is looked at during the boot. */
#define LARGEST_REGION (1UL << 18)

static dfn_t first_frame(u32 i)
{
	return iommu_dmar.reserved[i].first >> PAGE_SHIFT;
}

static u64 frames_of_region(u32 i)
{
	return (iommu_dmar.reserved[i].last >> PAGE_SHIFT) - first_frame(i) + 1;
}

/* The DMAR table lists a region once per device: users are counted at the first index. */
static u32 first_index(u32 i)
{
	const struct dmar_reserved *r = iommu_dmar.reserved;

	for (u32 k = 0; k < i; k++)
		if (r[k].first == r[i].first && r[k].last == r[i].last)
			return k;
	return i;
}

/* NULL if region i can be mapped. */
static const char *why_broken(u32 i)
{
	const struct dmar_reserved *r = &iommu_dmar.reserved[i];
	struct frame_info f;

	if (r->first > r->last || frames_of_region(i) > LARGEST_REGION)
		return "the firmware keeps memory for it (RMRR) that makes no sense: update it, or "
		       "leave the device out";
	for (mfn_t mfn = first_frame(i); mfn <= r->last >> PAGE_SHIFT; mfn++)
		if (frame_query(mfn, &f) && f.type != FRAME_RESERVED)
			return "the firmware keeps memory for it (RMRR) that is RAM in its own "
			       "memory map: update it, or switch the device's legacy support "
			       "off in its setup";
	return NULL;
}

void reserved_check(void)
{
	char name[16];

	for (u32 i = 0; i < iommu_dmar.nr_reserved; i++) {
		struct dmar_reserved *r = &iommu_dmar.reserved[i];

		r->why_not = why_broken(i);
		if (r->why_not)
			log_warn("iommu: DMAR: device %s with 0x%lx-0x%lx cannot be assigned: %s",
				 pci_name((struct pci_id){ r->device.segment, r->device.bdf },
					  name),
				 r->first, r->last, r->why_not);
	}
}

const char *reserved_why_not(struct pci_id dev)
{
	for (u32 i = 0; i < iommu_dmar.nr_reserved; i++)
		if (dmar_is_reserved_for(&iommu_dmar, i, dev) && iommu_dmar.reserved[i].why_not)
			return iommu_dmar.reserved[i].why_not;
	return NULL;
}

/* The device does not use its regions below index `end` any more. However many they are, one gather
 * does: each is unmapped as it was mapped, so nothing is split. */
static void drop_regions(struct iommu_gather *g, struct pci_id dev, u32 end)
{
	assert_locked(&g->domain->lock);
	for (u32 i = 0; i < end; i++) {
		u32 k = first_index(i);

		if (dmar_is_reserved_for(&iommu_dmar, i, dev) && !--g->domain->reserved_users[k])
			table_unmap(g, first_frame(k), frames_of_region(k));
	}
}

int reserved_map(struct iommu_domain *d, struct pci_id dev)
{
	IOMMU_GATHER(g);
	int ret;

	if (!dmar_reserved_of(&iommu_dmar, dev))
		return 0;
	ret = iommu_gather_begin(&g, d);
	if (ret)
		return ret;
	spin_lock(&d->lock);
	for (u32 i = 0; !ret && i < iommu_dmar.nr_reserved; i++) {
		u32 k = first_index(i);

		if (!dmar_is_reserved_for(&iommu_dmar, i, dev) || d->reserved_users[k]++)
			continue;
		ret = table_map(&g, first_frame(k), first_frame(k), frames_of_region(k),
				IOMMU_READ | IOMMU_WRITE | IOMMU_NOT_RAM);
		if (ret) {
			d->reserved_users[k]--;
			drop_regions(&g, dev, i);
		}
	}
	spin_unlock(&d->lock);
	iommu_gather_commit(&g, 0);
	return ret;
}

bool reserved_unmap(struct iommu_domain *d, struct pci_id dev, struct batch_waiter *w)
{
	IOMMU_GATHER(g);

	if (!gather_begin_or_wait(&g, d, w))
		return false;
	spin_lock(&d->lock);
	drop_regions(&g, dev, iommu_dmar.nr_reserved);
	spin_unlock(&d->lock);
	iommu_gather_commit(&g, 0);
	return true;
}
