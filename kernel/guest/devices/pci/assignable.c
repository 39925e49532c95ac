/* Checks whether a function may be assigned to a domain. See assignable.h. */
#include <kernel/guest/devices/pci/assignable.h>

#include <drivers/pcipresence.h>
#include <iommu/iommu.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/string.h>

const char *assignable_why_never(const struct pci_device *dev, bool trusted)
{
	if (!dev)
		return "there is no such device: with loglevel=debug, the boot log lists them";
	if (dev->class == PCI_CLASS_HOST_BRIDGE || dev->class == PCI_CLASS_ISA_BRIDGE)
		return "it is a host or ISA bridge, which stays with Weir";
	if (dev->header || dev->class == PCI_CLASS_PCI_BRIDGE)
		return "it is a bridge, which stays with Weir: name the device behind it";
	if (pci_presence_why_not(pci_seen(dev)))
		return pci_presence_why_not(pci_seen(dev));
	if (iommu_why_not(dev->id, trusted))
		return iommu_why_not(dev->id, trusted);
	if (dev->shared_id)
		return "it is behind a bridge to conventional PCI, which puts its own id into the "
		       "device's DMA: move it to a PCI Express slot";
	if (!dev->bars_ok)
		return "the firmware left its BARs unset, or they overlap something else: Weir "
		       "does not move them";
	for (u32 i = 0; i < PCI_BARS; i++)
		if (dev->bar[i].size && !dev->bar[i].io &&
		    iommu_overlaps(dev->bar[i].base, dev->bar[i].base + dev->bar[i].size - 1))
			return "one of its BARs overlaps a remapping unit's registers: the device "
			       "or the firmware reports a wrong address";
	if (!dev->msi && !dev->msix)
		return "it has neither MSI nor MSI-X, and Weir does not pass on legacy interrupts";
	return NULL;
}

const char *assignable_why_not(const struct domain *d, const struct pci_device *dev, u32 flags,
			       char *buf, size_t size)
{
	const char *why = assignable_why_never(dev, d->vm.memory.machine_addresses);
	struct domain *owner;

	if (why)
		return why;
	why = iommu_why_not_beside(d->vm.memory.iommu, dev->id);
	if (why)
		return why;
	if (dev->nr_virtual && !d->privileged)
		return "its virtual functions are enabled (sriov=), so its owner can reach the "
		       "memory of their owners: only the control domain may have it";
	if (dev->owner) {
		owner = domain_get_from(dev->owner);
		snprintf(buf, size,
			 "it already belongs to domain %s: remove it from one of the two lines",
			 owner ? owner->name : "(ended)");
		if (owner)
			domain_put(owner);
		return buf;
	}
	if ((flags & IOMMU_ATS) && iommu_why_no_ats(dev->id)) {
		snprintf(buf, size, "its own TLB cannot be used: %s: remove ,ats",
			 iommu_why_no_ats(dev->id));
		return buf;
	}
	return NULL;
}
