/* The interrupts of a function as a whole. See virqset.h. */
#include <kernel/guest/devices/pci/virqset.h>

#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/virqquota.h>
#include <kernel/guest/devices/pci/vmsi.h>
#include <kernel/guest/devices/pci/vmsix.h>
#include <kernel/guest/devices/pci/vpci.h>
#include <kernel/guest/domain/domain.h>
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

/* The guest sees fewer MSI-X vectors than the device has. */
static void log_fewer(const struct vfunction *f, u32 has, u32 want, u32 cpu)
{
	u32 gets = f->reserved - !!f->dev->msi;
	char name[16];

	pci_name(f->dev->id, name);
	if (f->reserved < want)
		log_warn("domain %s: device %s: its guest sees %u of its %u MSI-X vectors, because "
			 "CPU %u has no more and keeps some for other devices: another CPU (cpu=) "
			 "may have more",
			 f->domain->name, name, gets, has, cpu);
	else
		log_info("domain %s: device %s: its guest sees %u of its %u MSI-X vectors "
			 "(IOMMU_IRTES = %u)",
			 f->domain->name, name, gets, has, IOMMU_IRTES);
}

static int reserve_host_vectors(struct vfunction *f, u32 nr_vectors, char *why, size_t size)
{
	u32 cpu, need = !!f->dev->msi + !!nr_vectors,
		 want = MIN(nr_vectors + !!f->dev->msi, IOMMU_IRTES);
	int ret = virqquota_reserve(f, need, want, &cpu);

	if (ret)
		snprintf(why, size,
			 "CPU %u has no interrupt vectors left for it: run the domain on another "
			 "CPU (cpu=), or give that CPU's domains fewer devices",
			 cpu);
	else if (f->reserved < nr_vectors + !!f->dev->msi)
		log_fewer(f, nr_vectors, want, cpu);
	return ret;
}

int virqset_reserve(struct vfunction *f, u32 nr_vectors, char *why, size_t size)
{
	int ret = f->reserved ? 0 : reserve_host_vectors(f, nr_vectors, why, size);

	if (ret || f->irtes.valid)
		return ret;
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
	virqquota_release(f);
}
