/* Faults (VT-d chapter 7): recorded by the unit, told in words. */
#include <iommu/unit.h>

#include <iommu/device.h>
#include <iommu/hw.h>
#include <iommu/table.h>
#include <iommu/trace.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>

/* Of each domain, so that none can hide another one's by its own; with the walks a tenth of what a serial line carries. What is
 * left out is in the counters, and the last ones in the trace. */
#define RECORDS_PER_MINUTE 60
#define OWNERS 128 /* domains' ids are below, and OWNER_NONE falls on none of them */

/* 7.2.3, legacy mode and interrupt remapping. */
static const char *reason_text(u32 reason)
{
	switch (reason) {
	case 0x1:
		return "the root entry is not present";
	case 0x2:
		return "the device belongs to nobody (its context entry is not present)";
	case 0x3:
		return "the context entry is invalid";
	case 0x4:
		return "the address is beyond the domain's width";
	case 0x5:
		return "the page may not be written";
	case 0x6:
		return "the page may not be read";
	case 0x7:
		return "a page table cannot be read";
	case 0x8:
		return "the root table cannot be read";
	case 0x9:
		return "the context table cannot be read";
	case 0xa:
		return "a root entry has reserved bits set";
	case 0xb:
		return "a context entry has reserved bits set";
	case 0xc:
		return "a page-table entry has reserved bits set";
	case 0xd:
		return "translation requests are blocked for this device";
	case 0x20:
		return "an interrupt message has reserved bits set";
	case 0x21:
		return "an interrupt names an entry beyond the table";
	case 0x22:
		return "an interrupt names an entry that is not present";
	case 0x23:
		return "the interrupt-remapping table cannot be read";
	case 0x24:
		return "an interrupt-remapping entry has reserved bits set";
	case 0x25:
		return "an interrupt in the old format is blocked";
	case 0x26:
		return "an interrupt names another device's entry";
	default:
		return "see the specification, 7.2.3";
	}
}

/* The entries that the walk met, and the page it ended at. */
static void log_walk(u16 owner, u64 address)
{
	u64 entry[5];
	mfn_t mfn;
	unsigned int n = iommu_walk_owner(owner, address >> PAGE_SHIFT, entry, &mfn);

	for (unsigned int i = 0; i < n; i++)
		log_warn("iommu:   level %u entry %016lx%s", iommu_common.levels - i, entry[i],
			 is_tombstone(entry[i]) ? " (waits for its release)" :
			 entry[i]		? "" :
						  " (empty)");
	if (mfn != INVALID_MFN) {
		struct frame_info f;

		if (frame_query(mfn, &f))
			log_warn("iommu:   page 0x%lx: owner %u, type %s, %u + %u dev_tlb references",
				 mfn << PAGE_SHIFT, f.owner, frame_type_name(f.type), f.own_refs,
				 f.block_refs);
	}
}

static void report(struct iommu_unit *u, u64 lo, u64 hi)
{
	static struct log_limit limits[OWNERS] = {
		[0 ... OWNERS - 1] = { .burst = RECORDS_PER_MINUTE, .seconds = 60 },
	};
	struct pci_id dev = { u->segment, (u16)FIELD_GET(FRCD_HI_SID, hi) };
	u32 reason = (u32)FIELD_GET(FRCD_HI_FR, hi);
	char name[32];
	u16 owner = device_count_fault(dev, reason, name, sizeof(name));

	u->faults++;
	trace(WEIR_TRACE_FAULT, owner, dev.bdf, lo, reason);
	if (log_allowed(&limits[owner % OWNERS])) {
		u64 address = reason >= 0x20 && reason < 0x30 ? lo >> 48 : lo & PAGE_MASK;

		log_warn("iommu: fault: device %02x:%02x.%u of %s: %s of %s 0x%lx: %s (reason 0x%x)",
			 dev.bdf >> 8, dev.bdf >> 3 & 31, dev.bdf & 7, name,
			 reason >= 0x20 && reason < 0x30 ? "interrupt" :
			 hi & FRCD_HI_T			 ? "read" :
							   "write",
			 reason >= 0x20 && reason < 0x30 ? "entry" : "address", address,
			 reason_text(reason), reason);
		if (owner != OWNER_NONE && reason < 0x20)
			log_walk(owner, address);
	}
}

/* What the unit reports now. While any of it is left, what comes in addition raises no interrupt (FECTL_REG.IP): so it is
 * looked at until there is nothing, in steps, for a device may fault faster than this reads. */
static enum step service(struct work *w)
{
	struct iommu_unit *u = container_of(w, struct iommu_unit, fault_work);
	u32 first = (u32)FIELD_GET(CAP_FRO, u->cap) * 16, nr = (u32)FIELD_GET(CAP_NFR, u->cap) + 1;
	u32 status = hw_read32(u->regs, FSTS_REG);

	for (u32 i = 0; (status & FSTS_PPF) && i < nr; i++) {
		u32 reg = first + 16 * (((u32)FIELD_GET(FSTS_FRI, status) + i) % nr);
		u64 hi = hw_read64(u->regs, reg + 8);

		if (!(hi & FRCD_HI_F))
			continue;
		report(u, hw_read64(u->regs, reg), hi);
		hw_write32(u->regs, reg + 12, 1u << 31); /* F is cleared by writing 1 */
	}
	if (status & FSTS_PFO)
		hw_write32(u->regs, FSTS_REG, FSTS_PFO);
	if (status & (FSTS_IQE | FSTS_ICE | FSTS_ITE))
		queue_error(u, status);
	status = hw_read32(u->regs, FSTS_REG) & FSTS_CAUSES & ~(u->queue.stuck ? FSTS_IQE : 0);
	return status ? STEP_MORE : STEP_DONE;
}

static void fault_interrupt(void *arg)
{
	struct iommu_unit *u = arg;

	work_queue(&u->fault_work);
}

int fault_init(struct iommu_unit *u)
{
	int vector = irq_alloc(0, fault_interrupt, u);
	u64 address;
	u32 data;

	if (vector < 0)
		return vector;
	work_init(&u->fault_work, service);
	irq_msi_message(0, vector, &address, &data);
	hw_write32(u->regs, FEDATA_REG, data);
	hw_write32(u->regs, FEADDR_REG, (u32)address);
	hw_write32(u->regs, FEUADDR_REG, (u32)(address >> 32));
	hw_write32(u->regs, FSTS_REG, FSTS_CAUSES & ~FSTS_PPF);
	hw_write32(u->regs, FECTL_REG, 0);
	return 0;
}
