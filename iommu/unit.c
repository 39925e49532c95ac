/* Starting the units: found, checked, everything blocked, then translation on. */
#include <iommu/unit.h>

#include <drivers/pci.h>
#include <iommu/fault.h>
#include <iommu/hw.h>
#include <iommu/intremap.h>
#include <iommu/lostunit.h>
#include <iommu/reserved.h>
#include <kernel/abi/iommu.h>
#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

#define COMMAND_TIMEOUT_NS 100000000UL

struct iommu_unit iommu_units[DMAR_MAX_UNITS];
u32 iommu_nr_units;
struct iommu_common iommu_common;
struct dmar iommu_dmar;

static const char *why_absent = "the remapping units have not been looked for";

const char *iommu_why_absent(void)
{
	return why_absent;
}

bool unit_command(struct iommu_unit *u, u64 bit, bool on)
{
	u32 kept = hw_read32(u->regs, GSTS_REG) & (u32)GSTS_KEPT;
	u64 deadline = clock_ns() + COMMAND_TIMEOUT_NS;

	hw_write32(u->regs, GCMD_REG, on ? kept | (u32)bit : kept & ~(u32)bit);
	while (!(hw_read32(u->regs, GSTS_REG) & bit) == on) {
		if (clock_ns() > deadline) {
			log_err("iommu: unit %u at 0x%lx does not answer command bit %u", u->index,
				iommu_dmar.unit[u->index].base, (u32)__builtin_ctzl(bit));
			return false;
		}
		cpu_relax();
	}
	return true;
}

static bool read_bridge(u16 segment, u16 bdf, u8 *secondary, u8 *subordinate)
{
	u32 header = pci_config_read32(segment, bdf, 0x0c), buses;

	if (!pci_exists(segment, bdf) || (header >> 16 & 0x7f) != 1)
		return false;
	buses = pci_config_read32(segment, bdf, 0x18);
	*secondary = (u8)(buses >> 8);
	*subordinate = (u8)(buses >> 16);
	return true;
}

/* NULL if Weir can work with this unit. */
static const char *why_unfit(const struct iommu_unit *u)
{
	if (u->cap == ~0UL || u->ecap == ~0UL)
		return "its registers read as all ones";
	if (!u->cap && !u->ecap)
		return "its registers read as zeros";
	if (!(u->ecap & ECAP_QI))
		return "it has no queued invalidation (ECAP.QI)";
	if (u->cap & CAP_RWBF)
		return "it needs its write buffers flushed by hand (CAP.RWBF)";
	if (!(u->cap & CAP_DRD) || !(u->cap & CAP_DWD))
		return "a flush does not wait for requests under way (CAP.DRD, CAP.DWD)";
	if (!(u->cap & (CAP_SAGAW_39 | CAP_SAGAW_48 | CAP_SAGAW_57)))
		return "it has no second-stage tables of 3, 4 or 5 levels (CAP.SAGAW)";
	return NULL;
}

/* A queue may be switched off only while it is empty: IQH = IQT (6.5.2). What an earlier system has
 * left in it is of no use any more. */
static void empty_queue(struct iommu_unit *u)
{
	u64 deadline = clock_ns() + COMMAND_TIMEOUT_NS;

	while (hw_read64(u->regs, IQH_REG) != hw_read64(u->regs, IQT_REG)) {
		if (clock_ns() > deadline) {
			log_warn("iommu: unit %u does not finish the invalidations that an earlier "
				 "system has left: they are dropped",
				 u->index);
			hw_write64(u->regs, IQT_REG, hw_read64(u->regs, IQH_REG));
			return;
		}
		cpu_relax();
	}
}

/* Firmware or an earlier system may have left the unit running: translation is switched off
 * first, then what it depends on. */
static bool stop_unit(struct iommu_unit *u)
{
	static const u64 order[] = { GCMD_TE, GCMD_IRE, GCMD_CFI, GCMD_QIE };
	u32 status = hw_read32(u->regs, GSTS_REG);

	for (unsigned int i = 0; i < ARRAY_SIZE(order); i++) {
		if (!(status & order[i]))
			continue;
		if (order[i] == GCMD_QIE)
			empty_queue(u);
		if (!unit_command(u, order[i], false))
			return false;
	}
	return true;
}

/* In bytes. Tables of older revisions do not say. */
static u32 registers_of(const struct dmar_unit *d)
{
	return MAX(d->size, 2 * (u32)PAGE_SIZE);
}

/* Memory that the firmware protects from all devices until translation is on would stay out of
 * their reach. */
static bool release_protected_memory(struct iommu_unit *u)
{
	u64 deadline = clock_ns() + COMMAND_TIMEOUT_NS;

	if (!(u->cap & (CAP_PLMR | CAP_PHMR)))
		return true;
	hw_write32(u->regs, PMEN_REG, 0);
	while (hw_read32(u->regs, PMEN_REG) & PMEN_PRS) {
		if (clock_ns() > deadline) {
			log_err("iommu: unit %u does not give up the firmware's protected memory",
				u->index);
			return false;
		}
		cpu_relax();
	}
	return true;
}

/* Map the unit's registers and read what it can do. The fault records may lie beyond what the DMAR
 * table says of the registers (11.4.14): then they are mapped once more, with them. */
static bool map_registers(struct iommu_unit *u, struct dmar_unit *d)
{
	u32 end;

	u->regs = mmio_map(d->base, registers_of(d));
	if (!u->regs)
		return false;
	u->cap = hw_read64(u->regs, CAP_REG);
	u->ecap = hw_read64(u->regs, ECAP_REG);
	end = 16 * (u32)(FIELD_GET(CAP_FRO, u->cap) + FIELD_GET(CAP_NFR, u->cap) + 1);
	if (u->cap == ~0UL || end <= registers_of(d))
		return true;
	d->size = (u32)ALIGN_UP(end, PAGE_SIZE);
	u->regs = mmio_map(d->base, d->size);
	return u->regs;
}

/* Map the unit's registers and check what it can do. */
static bool find_unit(struct iommu_unit *u, u32 index)
{
	struct dmar_unit *d = &iommu_dmar.unit[index];
	const char *why;

	u->index = index;
	spin_init(&u->context_lock, LOCK_CONTEXT);
	spin_init(&u->irte_lock, LOCK_IRTE);
	spin_init(&u->queue.lock, LOCK_QUEUE);
	u->segment = d->segment;
	if (!map_registers(u, d)) {
		log_err("iommu: unit %u: its registers at 0x%lx cannot be mapped", index, d->base);
		return false;
	}
	why = why_unfit(u);
	if (why) {
		log_err("iommu: unit %u at 0x%lx cannot be used: %s", index, d->base, why);
		return false;
	}
	u->nr_domains = 1u << MIN(4 + 2 * FIELD_GET(CAP_ND, u->cap), 16UL);
	return true;
}

static unsigned int units_with(u64 sagaw)
{
	unsigned int n = 0;

	for (u32 i = 0; i < iommu_nr_units; i++)
		n += iommu_units[i].fits && (iommu_units[i].cap & sagaw);
	return n;
}

/* Tables have the number of levels that most units know, since domains share them between units. A
 * unit that does not know it is not used. */
static void choose_levels(void)
{
	static const u64 sagaw[] = { CAP_SAGAW_48, CAP_SAGAW_39, CAP_SAGAW_57 };
	static const unsigned int levels[] = { 4, 3, 5 };
	unsigned int best = 0;

	for (unsigned int i = 1; i < ARRAY_SIZE(sagaw); i++)
		if (units_with(sagaw[i]) > units_with(sagaw[best]))
			best = i;
	iommu_common.levels = levels[best];
	for (u32 i = 0; i < iommu_nr_units; i++) {
		struct iommu_unit *u = &iommu_units[i];

		if (!u->fits || (u->cap & sagaw[best]))
			continue;
		u->fits = false;
		log_err("iommu: unit %u at 0x%lx cannot be used: it has no tables of %u levels, "
			"as more of the other units have",
			i, iommu_dmar.unit[i].base, iommu_common.levels);
	}
}

/* Compute what all units can do. */
static void find_common(void)
{
	struct iommu_common *c = &iommu_common;
	u64 superpages = CAP_SLLPS_2M | CAP_SLLPS_1G, width = 64;

	choose_levels();
	c->coherent = true;
	c->snoop = SS_SNP;
	c->nr_domains = 1u << 16;
	for (u32 i = 0; i < iommu_nr_units; i++) {
		const struct iommu_unit *u = &iommu_units[i];

		if (!u->fits)
			continue;
		superpages &= u->cap;
		c->coherent = c->coherent && (u->ecap & ECAP_C);
		c->caching_mode = c->caching_mode || (u->cap & CAP_CM);
		c->nr_domains = MIN(c->nr_domains, u->nr_domains);
		width = MIN(width, FIELD_GET(CAP_MGAW, u->cap) + 1);
		if (!(u->ecap & ECAP_SC))
			c->snoop = 0;
	}
	width = MIN(width, 9UL * c->levels + PAGE_SHIFT);
	c->limit = width > PAGE_SHIFT ? 1UL << (width - PAGE_SHIFT) : 0;
	c->largest = superpages & CAP_SLLPS_1G ? 3 : superpages & CAP_SLLPS_2M ? 2 : 1;
}

static bool flush_all_caches(struct iommu_unit *u)
{
	struct iommu_request r = {
		.desc = { qi_context_global(), qi_iotlb_global() },
		.nr = 2,
	};
	bool ok;

	list_init(&r.link);
	ok = !queue_submit_and_sleep(u, &r);
	if (!ok)
		log_err("iommu: unit %u: its invalidation queue does not answer: its devices "
			"cannot be assigned",
			u->index);
	return ok;
}

/* An empty root table blocks every device behind the unit, so nothing is reachable from the moment
 * translation is on. */
static bool start_unit(struct iommu_unit *u, bool remap_interrupts)
{
	u->root = alloc_page();
	if (!u->root || frame_set(virt_to_mfn(u->root), ORDER_4K, FRAME_IO_TABLE, OWNER_WEIR)) {
		log_err("iommu: unit %u: no memory for its root table", u->index);
		return false;
	}
	unit_write_back(u, u->root, PAGE_SIZE);
	if (!stop_unit(u))
		return false;
	hw_write64(u->regs, RTADDR_REG, virt_to_phys(u->root));
	if (!unit_command(u, GCMD_SRTP, true))
		return false;
	if (fault_init(u) || queue_init(u)) {
		log_err("iommu: unit %u: its events cannot be set up", u->index);
		return false;
	}
	if (!flush_all_caches(u))
		return false;
	if (remap_interrupts && (u->ecap & ECAP_IR) && !intremap_init(u))
		return false;
	return unit_command(u, GCMD_TE, true) && release_protected_memory(u);
}

static void describe_unit(const struct iommu_unit *u)
{
	log_info("iommu: unit %u at 0x%lx: %u domains, %u-level tables, leaves to %s, %s walks"
		 "%s%s%s",
		 u->index, iommu_dmar.unit[u->index].base, u->nr_domains, iommu_common.levels,
		 iommu_common.largest == 3 ? "1G" :
		 iommu_common.largest == 2 ? "2M" :
					     "4K",
		 u->ecap & ECAP_C ? "coherent" : "non-coherent",
		 u->irtes ? ", interrupt remapping" : "", u->eim ? " (x2APIC)" : "",
		 u->cap & CAP_CM ? ", caching mode" : "");
}

/* What the firmware says about the whole machine (8.1). */
static void describe_firmware(void)
{
	if (!iommu_dmar.intr_remap)
		log_warn("iommu: the firmware does not allow interrupt remapping "
			 "(DMAR, INTR_REMAP = 0)");
	if (iommu_dmar.dma_opt_in)
		log_info("iommu: the firmware asks for protection against DMA "
			 "(DMAR, DMA_CTRL_PLATFORM_OPT_IN_FLAG)");
}

/* Why devices cannot be passed through although units work, or NULL. */
static const char *why_no_remapping(const struct iommu_options *options, bool any_remaps)
{
	if (options->no_intremap)
		return "interrupt remapping is switched off by iommu=nointremap, and "
		       "without it a device could raise any interrupt";
	if (!iommu_dmar.intr_remap)
		return "the firmware does not allow interrupt remapping (DMAR, INTR_REMAP = 0), "
		       "and without it a device could raise any interrupt; enable it in the "
		       "firmware's setup, or give QEMU intel-iommu,intremap=on";
	if (!any_remaps)
		return "no remapping unit has interrupt remapping, and without it a device "
		       "could raise any interrupt; enable it in the firmware's setup, or "
		       "give QEMU intel-iommu,intremap=on";
	return NULL;
}

static int start_units(const void *dmar, size_t length, const struct iommu_options *options)
{
	u32 working = 0, remapping = 0;

	if (options->off) {
		why_absent = "the IOMMU is switched off by iommu=off";
		return -ENODEV;
	}
	if (!dmar && options->has_ivrs) {
		why_absent = "this machine has AMD's IOMMU (an IVRS table), which Weir has no "
			     "driver for";
		return -ENODEV;
	}
	if (!dmar) {
		why_absent = "this machine has no VT-d (no DMAR table); enable it in the "
			     "firmware's setup, or give QEMU -device intel-iommu,intremap=on";
		return -ENODEV;
	}
	why_absent = "no remapping unit can be used; the lines above say why";
	if (dmar_parse(dmar, length, read_bridge, &iommu_dmar))
		return -ENODEV;
	describe_firmware();
	reserved_check();

	iommu_nr_units = iommu_dmar.nr_units;
	for (u32 i = 0; i < iommu_nr_units; i++)
		iommu_units[i].fits = find_unit(&iommu_units[i], i);
	find_common();
	for (u32 i = 0; i < iommu_nr_units; i++) {
		struct iommu_unit *u = &iommu_units[i];

		u->works = u->fits && start_unit(u, iommu_dmar.intr_remap && !options->no_intremap);
		if (!u->works) {
			lost_at_start(u);
			continue;
		}
		describe_unit(u);
		working++;
		remapping += !!u->irtes;
	}
	if (!working)
		return -ENODEV;
	why_absent = why_no_remapping(options, remapping);
	return 0;
}

int iommu_init(const void *dmar, size_t length, const struct iommu_options *options)
{
	int ret = start_units(dmar, length, options);

	/* Domains are made all the same, and must not think that there are units. */
	if (ret)
		iommu_nr_units = 0;
	return ret;
}

bool iommu_unit_stats(u32 unit, struct weir_unit_stats *s)
{
	const struct iommu_unit *u;

	if (unit >= iommu_nr_units)
		return false;
	u = &iommu_units[unit];
	*s = (struct weir_unit_stats){
		.base = iommu_dmar.unit[unit].base,
		.cap = u->cap,
		.ecap = u->ecap,
		.works = u->works && !read_once(&u->queue.stuck),
		.devices = read_once(&u->devices),
		.requests_posted = read_once(&u->queue.nr_posted),
		.requests_completed = read_once(&u->queue.completed),
		.requests_waiting = read_once(&u->queue.nr_waiting),
		.completion_interrupts = read_once(&u->queue.interrupts),
		.queue_errors = read_once(&u->queue.errors),
		.faults = read_once(&u->faults),
		.interrupt_entries = read_once(&u->nr_irtes),
		.fault_overflows = read_once(&u->fault_overflows),
	};
	return true;
}

struct iommu_unit *iommu_unit_of(struct pci_id dev)
{
	/* A virtual function is behind the same unit as its physical one; only the latter's path
	 * may be in the table (8.3.1). */
	int i = dmar_unit_of(&iommu_dmar, pci_physical(dev));

	return i >= 0 && read_once(&iommu_units[i].works) ? &iommu_units[i] : NULL;
}

bool iommu_overlaps(paddr_t first, paddr_t last)
{
	for (u32 i = 0; i < iommu_dmar.nr_units; i++) {
		const struct dmar_unit *u = &iommu_dmar.unit[i];

		if (u->base <= last && first < u->base + registers_of(u))
			return true;
	}
	return false;
}

const char *iommu_why_not(struct pci_id dev, bool trusted)
{
	const struct iommu_unit *u;

	if (why_absent)
		return why_absent;
	u = iommu_unit_of(dev);
	if (!u)
		return "no remapping unit that works covers it";
	if (!u->irtes)
		return "its remapping unit has no interrupt remapping, and without it the device "
		       "could raise any interrupt: move it to a slot behind another unit";
	if (dmar_reserved_of(&iommu_dmar, dev) && !trusted)
		return "the firmware keeps memory for its own DMA by this device (RMRR), which the "
		       "control domain alone may reach, by machine addresses "
		       "(control-iommu=strict)";
	return reserved_why_not(dev);
}
