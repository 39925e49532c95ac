/* Hypercalls: decode and check everything, then perform. See kernel/abi/hypercall.h for what each
 * one promises. */

#include <kernel/abi/hypercall.h>

#include <iommu/iommu.h>
#include <kernel/clock.h>
#include <kernel/domain.h>
#include <kernel/errno.h>
#include <kernel/memory.h>
#include <kernel/string.h>
#include <kernel/vcpu.h>

/* Memory calls do a bounded part and say how much; one that must wait parks the vCPU and is
 * executed again. */
static s64 memory_call(struct vcpu *v, s64 (*fn)(struct domain *d, gfn_t gfn, u64 nr))
{
	s64 ret;

	vcpu_prepare_park(v);
	ret = fn(v->domain, v->reg[RDI], v->reg[RSI]);
	if (ret == -EAGAIN)
		vcpu_park(v);
	return ret;
}

static void fill_stats(struct domain *d, struct weir_stats *s)
{
	memset(s, 0, sizeof(*s));
	s->abi_version = WEIR_ABI_VERSION;
	copy_string(s->domain_name, d->name, sizeof(s->domain_name));
	s->uptime_ns = clock_ns() - d->start_ns;
	iommu_domain_stats(d->iommu, s);

	spin_lock(&d->nested.lock);
	s->pages_owned = d->pages_owned;
	s->pages_limit = d->pages_limit;
	for (unsigned int i = 0; i < 3; i++)
		s->nested_entries[i] = d->nested.entries[i];
	spin_unlock(&d->nested.lock);

	s->nr_vcpus = d->nr_vcpus;
	s->absent_accesses = read_once(&d->io.absent) + read_once(&d->mmio.absent);
	for (u32 i = 0; i < d->nr_vcpus; i++) {
		const struct vcpu *v = d->vcpu[i];

		for (unsigned int r = 0; r < WEIR_NR_EXIT_REASONS; r++)
			s->exits[r] += read_once(&v->exits[r]);
		s->interrupts_delivered += read_once(&v->interrupts_delivered);
		s->absent_accesses += read_once(&v->absent_msrs);
	}
}

static s64 stats_call(struct domain *d, gpaddr_t gpa, u64 size)
{
	struct weir_stats s;

	if (gpa & 7 || size > PAGE_SIZE)
		return -EINVAL;
	fill_stats(d, &s);
	if (guest_write(d, gpa, &s, MIN(size, sizeof(s))))
		return -EFAULT;
	return sizeof(s);
}

static s64 shutdown_call(struct domain *d, u64 how, u64 status)
{
	static const char *const why[] = { "powered off", "asked for a reboot", "crashed" };

	if (how >= ARRAY_SIZE(why))
		return -EINVAL;
	domain_shutdown(d, why[how], status);
	return 0;
}

int hypercall(struct vcpu *v)
{
	struct domain *d = v->domain;
	struct vcpu_mode mode;
	s64 ret;

	vcpu_backend->mode(v, &mode);
	if (mode.cpl) {
		v->reg[RAX] = (u64)-EPERM;
		return 0;
	}

	switch (v->reg[RAX]) {
	case WEIR_HC_VERSION:
		ret = WEIR_ABI_VERSION;
		break;
	case WEIR_HC_MEM_RELEASE:
		ret = memory_call(v, memory_release);
		break;
	case WEIR_HC_MEM_POPULATE:
		ret = memory_call(v, memory_populate);
		break;
	case WEIR_HC_STATS:
		ret = stats_call(d, v->reg[RDI], v->reg[RSI]);
		break;
	case WEIR_HC_SHUTDOWN:
		ret = shutdown_call(d, v->reg[RDI], v->reg[RSI]);
		break;
	default:
		ret = -ENOSYS;
	}

	if (ret == -EAGAIN)
		return -EAGAIN;
	v->reg[RAX] = (u64)ret;
	return 0;
}
