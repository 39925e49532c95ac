/* Units that are lost. Their devices are not translated, or not any more: bus mastering stays off,
 * or goes off, and they are not given to anybody. What a unit has cached when it dies cannot be
 * invalidated: pages that its devices could reach are never freed. */
#include <iommu/lostunit.h>

#include <drivers/pci.h>
#include <iommu/quarantine.h>
#include <iommu/trace.h>
#include <kernel/core/log.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>
#include <kernel/mm/frame.h>

#define NAMES_PER_LINE 24u

static void log_names(const struct iommu_unit *u, const char *names)
{
	log_warn("iommu: unit %u at 0x%lx does not work: these devices behind it cannot be "
		 "assigned:%s; a firmware update may help, or a slot behind another unit",
		 u->index, iommu_dmar.unit[u->index].base, names);
}

void lost_at_start(const struct iommu_unit *u)
{
	char names[NAMES_PER_LINE * 16 + 1] = "", name[16];
	const struct pci_device *d;
	u32 nr = 0;

	for (u32 i = 0; (d = pci_device_at(i)); i++) {
		size_t used = strlen(names);

		if (!pci_is_endpoint(d) ||
		    dmar_unit_of(&iommu_dmar, pci_physical(d->id)) != (int)u->index)
			continue;
		snprintf(names + used, sizeof(names) - used, " %s", pci_name(d->id, name));
		if (++nr % NAMES_PER_LINE)
			continue;
		log_names(u, names);
		names[0] = 0;
	}
	if (names[0])
		log_names(u, names);
	if (!nr)
		log_info("iommu: unit %u at 0x%lx does not work, and has no device", u->index,
			 iommu_dmar.unit[u->index].base);
}

void lost_while_running(struct iommu_unit *u)
{
	bool first;

	spin_lock(&u->queue.lock);
	first = u->works;
	write_once(&u->works, false);
	u->queue.stuck = true;
	spin_unlock(&u->queue.lock);
	if (!first)
		return;
	trace_always(WEIR_TRACE_ERROR, OWNER_NONE, (u16)u->index, ~0u, ~0UL);
	log_err("iommu: unit %u at 0x%lx has died, its registers read as all ones: its devices are "
		"stopped, and pages that they can reach are never freed; restart the machine",
		u->index, iommu_dmar.unit[u->index].base);
	quarantine_all(u, "its remapping unit has died");
}
