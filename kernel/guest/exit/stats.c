/* Gathers a domain's counters. */
#include <kernel/guest/exit/stats.h>

#include <iommu/iommu.h>
#include <kernel/abi/hypercall.h>
#include <kernel/core/clock.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/string.h>

void domain_stats(struct domain *d, struct weir_stats *s)
{
	memset(s, 0, sizeof(*s));
	s->abi_version = WEIR_ABI_VERSION;
	copy_string(s->domain_name, d->name, sizeof(s->domain_name));
	s->uptime_ns = clock_ns() - d->vm.start_ns;
	iommu_domain_stats(d->vm.memory.iommu, s);

	spin_lock(&d->vm.memory.nested.lock);
	s->pages_owned = d->vm.memory.pages_owned;
	s->pages_limit = d->vm.memory.pages_limit;
	for (unsigned int i = 0; i < 3; i++)
		s->nested_entries[i] = d->vm.memory.nested.entries[i];
	spin_unlock(&d->vm.memory.nested.lock);

	s->nr_vcpus = d->vm.nr_vcpus;
	s->interrupt_pauses = read_once(&d->interrupt_pauses);
	s->absent_accesses = read_once(&d->vm.io.absent) + read_once(&d->vm.mmio.absent);
	for (u32 i = 0; i < d->vm.nr_vcpus; i++) {
		const struct vcpu *v = d->vm.vcpu[i];

		for (unsigned int r = 0; r < WEIR_NR_EXIT_REASONS; r++)
			s->exits[r] += read_once(&v->exits[r]);
		for (unsigned int m = 0; m < WEIR_NR_MSR_EXITS; m++)
			s->msr_exits[m] += read_once(&v->msr_exits[m]);
		s->interrupts_taken += read_once(&v->interrupts_taken);
		s->interrupts_delivered += read_once(&v->interrupts_delivered);
		s->absent_accesses += read_once(&v->absent_msrs);
	}
}
