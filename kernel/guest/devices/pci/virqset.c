/* The interrupts of a function as a whole. See virqset.h. */
#include <kernel/guest/devices/pci/virqset.h>

#include <kernel/core/irq.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vmsi.h>
#include <kernel/guest/devices/pci/vmsix.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>

static struct virq *virq_at(struct vfunction *f, u32 i)
{
	return i < f->nr_vectors ? &f->vector[i] : &f->msi;
}

/* The unit delivers these entries as they were set. Interrupt context or deferred work. */
static void in_force(void *arg, u64 which)
{
	struct vfunction *f = arg;
	u64 opened;

	spin_lock(&f->bus->lock);
	opened = which & ~f->open;
	/* A pause that has begun meanwhile has blocked them: this is called again after it. */
	if (vpci_is_on_bus(f) && !f->storm.paused) {
		f->open |= which;
		for (u64 left = opened; left; left &= left - 1) {
			u32 i = (u32)__builtin_ctzl(left);

			if (i < f->nr_vectors)
				vmsix_open(f, i);
			else
				vmsi_resume(f);
		}
		irqstorm_in_force(f, which);
	}
	spin_unlock(&f->bus->lock);
}

int virqset_reserve(struct vfunction *f, u32 nr_vectors, char *why, size_t size)
{
	f->reserved = MIN(nr_vectors + !!f->dev->msi, IOMMU_IRTES);
	if (f->irtes.valid)
		return 0;
	snprintf(why, size, "its remapping unit has no interrupt entries left");
	return iommu_irtes_alloc(&f->irtes, f->dev->id, in_force, f);
}

static void free_host_vectors(void *arg)
{
	struct vfunction *f = arg;

	for (u64 left = f->allocated; left; left &= left - 1) {
		const struct virq *q = virq_at(f, (u32)__builtin_ctzl(left));

		irq_free(q->host_cpu, q->host_vector);
	}
	f->allocated = 0;
	assign_release(f);
}

void virqset_remove(struct vfunction *f)
{
	assign_hold(f);
	iommu_irtes_free(&f->irtes, free_host_vectors, f);
}

void virqset_release(struct vfunction *f)
{
	if (f->irtes.valid)
		iommu_irtes_free(&f->irtes, NULL, NULL);
}
