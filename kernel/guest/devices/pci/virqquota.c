/* Host vectors of functions. See virqquota.h. */
#include <kernel/guest/devices/pci/virqquota.h>

#include <kernel/core/irq.h>
#include <kernel/guest/devices/pci/assign.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/lib/errno.h>

/* What is kept on each CPU for a function that no domain has yet: half of an equal share, within
 * these bounds. Few drivers do with fewer than two. */
#define KEPT_AT_LEAST 2u
#define KEPT_AT_MOST 8u

/* By CPU: what functions may have, and what they have. Under assign_lock. */
static u16 capacity[MAX_CPUS], reserved[MAX_CPUS];

/* The CPU of vCPU i; -1: it is the CPU of an earlier vCPU too. */
static int cpu_of(const struct domain *d, u32 i)
{
	u32 cpu = d->vm.vcpu[i]->tlb.cpu;

	for (u32 k = 0; k < i; k++)
		if (d->vm.vcpu[k]->tlb.cpu == cpu)
			return -1;
	return (int)cpu;
}

struct demand {
	u32 all, coming; /* functions that a domain may get; those that none has yet */
};

static struct demand count_functions(void)
{
	struct demand n = { 0, 0 };
	const struct pci_device *d;

	assert_locked(&assign_lock);
	for (u32 i = 0; (d = pci_device_at(i)); i++) {
		if (!pci_is_endpoint(d) || (!d->msi && !d->msix))
			continue;
		n.all++;
		n.coming += d->state == PCI_FREE;
	}
	n.all = n.all ? MIN(n.all, MAX_DEVICES) : 1;
	n.coming = MIN(n.coming, MAX_DEVICES - 1);
	return n;
}

/* How many vectors a function that wants so many may have on this CPU. */
static u32 allowed(u32 cpu, u32 want, struct demand n)
{
	u32 left, share, kept, for_others;

	assert_locked(&assign_lock);
	if (!reserved[cpu])
		capacity[cpu] = (u16)irq_count_free(cpu);
	left = (u32)(capacity[cpu] - reserved[cpu]);
	share = capacity[cpu] / n.all;
	kept = MIN(share / 2, KEPT_AT_MOST);
	kept = MAX(kept, KEPT_AT_LEAST);
	kept = MIN(kept, share);
	for_others = kept * n.coming;
	if (left > for_others + kept)
		left -= for_others;
	else
		left = MIN(left, kept);
	return MIN(want, left);
}

int virqquota_reserve(struct vfunction *f, u32 need, u32 want, u32 *cpu)
{
	const struct domain *d = f->domain;
	struct demand n;
	int c;

	spin_lock(&assign_lock);
	n = count_functions();
	*cpu = d->vm.vcpu[0]->tlb.cpu;
	for (u32 i = 0; i < d->vm.nr_vcpus; i++) {
		u32 may;

		c = cpu_of(d, i);
		may = c < 0 ? want : allowed((u32)c, want, n);
		if (may < want) {
			want = may;
			*cpu = (u32)c;
		}
	}
	f->reserved = want >= need ? want : 0;
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		if ((c = cpu_of(d, i)) >= 0)
			reserved[c] = (u16)(reserved[c] + f->reserved);
	spin_unlock(&assign_lock);
	return want >= need ? 0 : -ENOSPC;
}

void virqquota_release(struct vfunction *f)
{
	const struct domain *d = f->domain;
	int c;

	spin_lock(&assign_lock);
	for (u32 i = 0; i < d->vm.nr_vcpus; i++)
		if ((c = cpu_of(d, i)) >= 0)
			reserved[c] = (u16)(reserved[c] - f->reserved);
	f->reserved = 0;
	spin_unlock(&assign_lock);
}
