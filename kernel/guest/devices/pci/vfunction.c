/* Creates, resets and frees the record of an assigned function. See vfunction.h. */
#include <kernel/guest/devices/pci/vfunction.h>

#include <drivers/pcireset.h>
#include <kernel/core/log.h>
#include <kernel/guest/devices/pci/virqset.h>
#include <kernel/guest/devices/pci/vmsi.h>
#include <kernel/guest/devices/pci/vmsix.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>

struct vfunction *vfunction_create(struct domain *d, struct pci_device *dev, u32 flags)
{
	struct vfunction *f = kzalloc(sizeof(*f));

	if (!f)
		return NULL;
	f->domain = d;
	f->bus = d->pci;
	f->dev = dev;
	f->flags = flags;
	list_init(&f->link);
	return f;
}

void vfunction_free(struct vfunction *f)
{
	virqset_release(f);
	vmsix_free(f);
	kfree(f);
}

int vfunction_read_capabilities(struct vfunction *f, char *why, size_t size)
{
	int ret;

	irqstorm_init(f);
	vmsi_disable(f);
	vmsix_disable(f);
	ret = virqset_reserve(f, vmsix_entries_of(f->dev), why, size);
	if (ret)
		return ret;
	snprintf(why, size, "its MSI-X table is not in its BARs");
	return vmsix_init(f, f->reserved - !!f->dev->msi);
}

void vfunction_remove_interrupts(struct vfunction *f)
{
	irqstorm_remove(f);
	vmsi_disable(f);
	vmsix_disable(f);
	virqset_remove(f);
}

void vfunction_forget_guest(struct vfunction *f)
{
	vmsix_free(f);
	f->command = f->pm_state = 0;
	f->interrupt_line = 0;
	f->msi_enabled = false;
	f->msi = (struct virq){ 0 };
	f->msix = (struct msix_control){ 0 };
	f->open = f->pending = 0;
	f->storm.paused = f->storm.is_held = false;
	f->storm.reopening = 0;
}

void vfunction_log_attached(const struct vfunction *f)
{
	char name[16];

	pci_name(f->dev->id, name);
	if (!pci_reset_method(f->dev))
		log_warn("domain %s: device %s cannot be reset: its state is as its last owner "
			 "left it",
			 f->domain->name, name);
	log_info("domain %s: device %s (%04x:%04x) at 00:%02x.0, %u MSI-X vectors%s%s",
		 f->domain->name, name, f->dev->vendor, f->dev->device, f->slot, f->nr_vectors,
		 f->dev->msi ? ", MSI" : "", f->flags & IOMMU_ATS ? ", ATS" : "");
}
