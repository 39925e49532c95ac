/* Faults (VT-d chapter 7): what the unit has recorded is counted and logged. */
#include <iommu/fault.h>

#include <iommu/hw.h>
#include <iommu/lostunit.h>
#include <iommu/quarantine.h>
#include <iommu/queueerror.h>
#include <iommu/table.h>
#include <iommu/trace.h>
#include <kernel/core/irq.h>
#include <kernel/core/log.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/frame.h>

/* Faults that are logged, per domain: so no domain can hide another one's faults behind its own.
 * With their walks they are a tenth of what a serial line carries. The others are in the
 * counters, and the last ones in the trace. */
#define RECORDS_PER_MINUTE 60
#define OVERFLOWS_PER_MINUTE 6 /* the same, per unit: each line says the same */
#define OWNERS 128 /* domains' ids are below, and OWNER_NONE shares no slot with any of them */

/* What each fault reason means, in words and for the counters. */
static const struct fault_description {
	const char *text;
	enum weir_fault_kind kind;
} descriptions[] = {
	[FAULT_ROOT_NOT_PRESENT] = { "the root entry is not present", WEIR_FAULT_CONTEXT },
	[FAULT_CONTEXT_NOT_PRESENT] = { "the device is unassigned (no context entry)",
					WEIR_FAULT_CONTEXT },
	[FAULT_CONTEXT_INVALID] = { "the context entry is invalid", WEIR_FAULT_CONTEXT },
	[FAULT_ADDRESS_WIDTH] = { "the address is beyond the domain's width", WEIR_FAULT_WIDTH },
	[FAULT_WRITE] = { "the page may not be written", WEIR_FAULT_WRITE },
	[FAULT_READ] = { "the page may not be read", WEIR_FAULT_READ },
	[FAULT_TABLE_ACCESS] = { "a page table cannot be read", WEIR_FAULT_TABLE },
	[FAULT_ROOT_ACCESS] = { "the root table cannot be read", WEIR_FAULT_CONTEXT },
	[FAULT_CONTEXT_ACCESS] = { "the context table cannot be read", WEIR_FAULT_CONTEXT },
	[FAULT_ROOT_RESERVED] = { "a root entry has reserved bits set", WEIR_FAULT_CONTEXT },
	[FAULT_CONTEXT_RESERVED] = { "a context entry has reserved bits set", WEIR_FAULT_CONTEXT },
	[FAULT_TABLE_RESERVED] = { "a page-table entry has reserved bits set", WEIR_FAULT_TABLE },
	[FAULT_TRANSLATION_BLOCKED] = { "translation requests are blocked for this device",
					WEIR_FAULT_CONTEXT },
	[FAULT_IR_REQUEST_RESERVED] = { "an interrupt message has reserved bits set",
					WEIR_FAULT_INTERRUPT },
	[FAULT_IR_INDEX] = { "an interrupt names an entry beyond the table", WEIR_FAULT_INTERRUPT },
	[FAULT_IR_NOT_PRESENT] = { "an interrupt names an entry that is not present",
				   WEIR_FAULT_INTERRUPT },
	[FAULT_IR_TABLE_ACCESS] = { "the interrupt-remapping table cannot be read",
				    WEIR_FAULT_INTERRUPT },
	[FAULT_IR_ENTRY_RESERVED] = { "an interrupt-remapping entry has reserved bits set",
				      WEIR_FAULT_INTERRUPT },
	[FAULT_IR_COMPATIBILITY] = { "an interrupt in compatibility format is blocked",
				     WEIR_FAULT_INTERRUPT },
	[FAULT_IR_SOURCE] = { "an interrupt names another device's entry", WEIR_FAULT_INTERRUPT },
};

static bool is_interrupt(u32 reason)
{
	return reason >= FAULT_IR_FIRST && reason <= FAULT_IR_LAST;
}

static struct fault_description describe_reason(u32 reason)
{
	static const char unknown[] = "see the specification, 7.2.3";

	if (reason < ARRAY_SIZE(descriptions) && descriptions[reason].text)
		return descriptions[reason];
	return (struct fault_description){ unknown, is_interrupt(reason) ? WEIR_FAULT_INTERRUPT :
									   WEIR_FAULT_OTHER };
}

/* The entries that a walk meets, and the page it ends at. */
static void log_walk(u16 owner, u64 address)
{
	struct frame_info f;
	u64 entry[5];
	mfn_t mfn;
	unsigned int n = iommu_walk_owner(owner, address >> PAGE_SHIFT, entry, &mfn);

	for (unsigned int i = 0; i < n; i++)
		log_warn("iommu:   level %u entry %016lx%s", iommu_common.levels - i, entry[i],
			 is_tombstone(entry[i]) ? " (waits for its release)" :
			 entry[i]		? "" :
						  " (empty)");
	if (mfn != INVALID_MFN && frame_query(mfn, &f))
		log_warn("iommu:   page 0x%lx: owner %u, type %s, %u + %u dev_tlb references",
			 mfn << PAGE_SHIFT, f.owner, frame_type_name(f.type), f.own_refs,
			 f.block_refs);
}

/* One fault record. */
static void report_fault(struct iommu_unit *u, u64 lo, u64 hi)
{
	static struct log_limit limits[OWNERS] = {
		[0 ... OWNERS - 1] = { .burst = RECORDS_PER_MINUTE, .seconds = 60 },
	};
	struct pci_id dev = { u->segment, (u16)FIELD_GET(FRCD_HI_SID, hi) };
	u32 reason = (u32)FIELD_GET(FRCD_HI_FR, hi);
	struct fault_description what = describe_reason(reason);
	char owner_name[32], device_name[16];
	u16 owner = quarantine_count_fault(dev, what.kind, owner_name, sizeof(owner_name));

	u->faults++;
	trace_always(WEIR_TRACE_FAULT, owner, dev.bdf, lo, reason);
	if (!log_allowed(&limits[owner % OWNERS]))
		return;
	(void)pci_name(dev, device_name);
	if (is_interrupt(reason)) {
		log_warn("iommu: fault: device %s of %s: interrupt entry 0x%lx: %s (reason 0x%x)",
			 device_name, owner_name, FIELD_GET(FRCD_LO_INDEX, lo), what.text, reason);
		return;
	}
	log_warn("iommu: fault: device %s of %s: %s of address 0x%lx: %s (reason 0x%x)",
		 device_name, owner_name, hi & FRCD_HI_T ? "read" : "write", lo & FRCD_LO_ADDRESS,
		 what.text, reason);
	if (owner != OWNER_NONE && reason < FAULT_IR_FIRST)
		log_walk(owner, lo & FRCD_LO_ADDRESS);
}

/* The records were full when a fault came. How often, the unit does not say: once until PFO is
 * cleared. */
static void report_overflow(struct iommu_unit *u)
{
	static struct log_limit limits[DMAR_MAX_UNITS] = {
		[0 ... DMAR_MAX_UNITS - 1] = { .burst = OVERFLOWS_PER_MINUTE, .seconds = 60 },
	};

	u->fault_overflows++;
	if (log_allowed(&limits[u->index]))
		log_warn("iommu: unit %u has lost faults, since they came faster than Weir reads "
			 "its %lu fault record%s: they are blocked, but in no counter",
			 u->index, FIELD_GET(CAP_NFR, u->cap) + 1, u->cap & CAP_NFR ? "s" : "");
}

/* Where the first record is; *nr: how many there are. */
static u32 fault_records(const struct iommu_unit *u, u32 *nr)
{
	*nr = (u32)FIELD_GET(CAP_NFR, u->cap) + 1;
	return (u32)FIELD_GET(CAP_FRO, u->cap) * 16;
}

/* F is cleared by writing 1. */
static void clear_record(struct iommu_unit *u, u32 reg)
{
	hw_write32(u->regs, reg + 12, 1u << 31);
}

/* Handle what the unit reports now. While anything is left, new reports raise no interrupt
 * (FECTL_REG.IP): so this continues until nothing is left. It works in steps, since a device may
 * fault faster than this reads. */
static enum step fault_step(struct work *w)
{
	struct iommu_unit *u = container_of(w, struct iommu_unit, fault_work);
	u32 nr, first = fault_records(u, &nr), status = hw_read32(u->regs, FSTS_REG);

	if (unit_is_gone(u)) {
		lost_while_running(u);
		return STEP_DONE;
	}
	for (u32 i = 0; (status & FSTS_PPF) && i < nr; i++) {
		u32 reg = first + 16 * (((u32)FIELD_GET(FSTS_FRI, status) + i) % nr);
		u64 hi = hw_read64(u->regs, reg + 8);

		if (!(hi & FRCD_HI_F) || hi == ~0UL)
			continue;
		report_fault(u, hw_read64(u->regs, reg), hi);
		clear_record(u, reg);
	}
	quarantine_gone(u);
	if (status & FSTS_PFO) {
		report_overflow(u);
		hw_write32(u->regs, FSTS_REG, FSTS_PFO);
	}
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

/* While a record or an error of an earlier system is there, nothing new raises an interrupt. */
static void clear_old_faults(struct iommu_unit *u)
{
	u32 nr, first = fault_records(u, &nr), old = 0;
	u64 last = 0;

	for (u32 i = 0; i < nr; i++) {
		u64 hi = hw_read64(u->regs, first + 16 * i + 8);

		if (!(hi & FRCD_HI_F))
			continue;
		clear_record(u, first + 16 * i);
		last = hi;
		old++;
	}
	hw_write32(u->regs, FSTS_REG, FSTS_CAUSES & ~FSTS_PPF);
	if (old) {
		struct pci_id dev = { u->segment, (u16)FIELD_GET(FRCD_HI_SID, last) };
		char name[16];

		(void)pci_name(dev, name);
		log_info("iommu: unit %u: faults left by an earlier system: %u, one of them of "
			 "device %s (reason 0x%lx)",
			 u->index, old, name, FIELD_GET(FRCD_HI_FR, last));
	}
}

int fault_init(struct iommu_unit *u)
{
	int vector = irq_alloc(0, fault_interrupt, u);
	u64 address;
	u32 data;

	if (vector < 0)
		return vector;
	work_init(&u->fault_work, fault_step);
	irq_msi_message(0, vector, &address, &data);
	hw_write32(u->regs, FEDATA_REG, data);
	hw_write32(u->regs, FEADDR_REG, (u32)address);
	hw_write32(u->regs, FEUADDR_REG, (u32)(address >> 32));
	clear_old_faults(u);
	hw_write32(u->regs, FECTL_REG, 0);
	return 0;
}
