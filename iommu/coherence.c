/* What walkers and devices see of what is in the CPU's caches only.
 *
 * A unit without page-walk coherency (ECAP.C) reads tables from memory: they are written back. A
 * unit with snoop control (ECAP.SC) is told in each leaf to snoop whatever the device asks for;
 * to one without it the bit is reserved. One unit that lacks them, as graphics units do, must not
 * take them from all domains. So each domain has what the units of its devices have in common. It
 * is fixed while anything is mapped, since leaves are not rewritten: a device behind a unit with
 * less is refused then. A domain whose devices are not known has what all units have in common.
 *
 * Behind a unit without snoop control a device could read what a page's last owner has left in
 * memory, while the zeros are in the caches: with such a unit in the machine, all memory that is
 * cleared is written back.
 */
#include <iommu/domain.h>
#include <kernel/core/paging.h>

static u64 snoop_of(const struct iommu_unit *u)
{
	return u->ecap & ECAP_SC ? SS_SNP : 0;
}

/* Only the root table is left. */
static bool is_empty(const struct iommu_domain *d)
{
	return d->tables <= 1 && !d->references && !d->tombstones && !d->entries[0] &&
	       !d->entries[1] && !d->entries[2];
}

static bool suits(const struct iommu_domain *d, const struct iommu_unit *u)
{
	return (!d->snoop || (u->ecap & ECAP_SC)) && (!d->coherent || (u->ecap & ECAP_C));
}

bool domain_suits(struct iommu_domain *d, const struct iommu_unit *u)
{
	assert_locked(&d->lock);
	d->expected = true;
	if (suits(d, u))
		return true;
	if (!is_empty(d))
		return false;
	d->snoop &= snoop_of(u);
	if (d->coherent && !(u->ecap & ECAP_C)) {
		d->coherent = false;
		iommu_write_back(d, d->root, PAGE_SIZE);
	}
	return true;
}

void iommu_expect(struct iommu_domain *d, struct pci_id dev)
{
	const struct iommu_unit *u = iommu_unit_of(dev);

	if (!u || !d->root)
		return;
	spin_lock(&d->lock);
	if (!d->expected && is_empty(d)) {
		d->snoop = snoop_of(u);
		d->coherent = u->ecap & ECAP_C;
	} else {
		(void)domain_suits(d, u);
	}
	d->expected = true;
	spin_unlock(&d->lock);
}

const char *iommu_why_not_beside(const struct iommu_domain *d, struct pci_id dev)
{
	struct iommu_domain *m = (struct iommu_domain *)d;
	const struct iommu_unit *u = iommu_unit_of(dev);
	bool fits;

	if (!u)
		return NULL; /* iommu_why_not() says so */
	spin_lock(&m->lock);
	fits = suits(d, u) || is_empty(d);
	spin_unlock(&m->lock);
	return fits ? NULL :
		      "its remapping unit lacks what the domain's memory is mapped with (ECAP.SC, "
		      "ECAP.C): name the device in the domain's line (pci=)";
}

void iommu_cleared(mfn_t mfn, u64 nr)
{
	if (iommu_nr_units && !iommu_common.snoop)
		hw_write_back(mfn_to_virt(mfn), nr << PAGE_SHIFT);
}
