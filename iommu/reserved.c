#include <iommu/reserved.h>

#include <iommu/map.h>
#include <iommu/unmap.h>

static dfn_t first_of(u32 i)
{
	return iommu_dmar.reserved[i].first >> PAGE_SHIFT;
}

static u64 frames_of_region(u32 i)
{
	return (iommu_dmar.reserved[i].last >> PAGE_SHIFT) - first_of(i) + 1;
}

/* The DMAR table names a region once for each device: the first of its names is the one that is counted. */
static u32 canonical(u32 i)
{
	const struct dmar_reserved *r = iommu_dmar.reserved;

	for (u32 k = 0; k < i; k++)
		if (r[k].first == r[i].first && r[k].last == r[i].last)
			return k;
	return i;
}

/* Drop the device's users of regions 0 .. end. Locked. */
static void drop(struct iommu_gather *g, struct pci_id dev, u32 end)
{
	for (u32 i = 0; i < end; i++) {
		u32 k = canonical(i);

		if (dmar_is_reserved_for(&iommu_dmar, i, dev) && !--g->domain->reserved_users[k])
			table_unmap(g, first_of(k), frames_of_region(k));
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
		u32 k = canonical(i);

		if (!dmar_is_reserved_for(&iommu_dmar, i, dev) || d->reserved_users[k]++)
			continue;
		ret = table_map(&g, first_of(k), first_of(k), frames_of_region(k),
				IOMMU_READ | IOMMU_WRITE | IOMMU_NOT_RAM);
		if (ret) {
			d->reserved_users[k]--;
			drop(&g, dev, i);
		}
	}
	spin_unlock(&d->lock);
	iommu_gather_commit(&g, 0);
	return ret;
}

int reserved_unmap(struct iommu_domain *d, struct pci_id dev)
{
	IOMMU_GATHER(g);
	int ret = iommu_gather_begin(&g, d);

	if (ret)
		return ret;
	spin_lock(&d->lock);
	drop(&g, dev, iommu_dmar.nr_reserved);
	spin_unlock(&d->lock);
	iommu_gather_commit(&g, 0);
	return 0;
}
