/* The registers of the units (VT-d 11.4), and the firmware's table that describes them. */
#include <iommu/hw.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <tests/model/unit.h>

struct vtd_unit vtd_units[VTD_UNITS];
struct vtd_device vtd_device_states[VTD_DEVICES];
u64 vtd_free_at_start;

/* 4 levels, leaves of all sizes, PSI with MAMV 18, draining, one fault record; QI, device TLBs,
 * interrupt remapping. */
#define CAP_DEFAULT 0x00d2008c222f0606UL
#define ECAP_DEFAULT 0xf00f5eUL

bool vtd_dead[VTD_UNITS];

static bool is_dead(const struct vtd_unit *u)
{
	return read_once(&vtd_dead[u - vtd_units]);
}

u64 vtd_reg64(const struct vtd_unit *u, u32 r)
{
	return load_acquire((const u64 *)(u->regs + r));
}

u32 vtd_reg32(const struct vtd_unit *u, u32 r)
{
	return load_acquire((const u32 *)(u->regs + r));
}

void vtd_set_reg64(struct vtd_unit *u, u32 r, u64 value)
{
	store_release((u64 *)(u->regs + r), value);
}

void vtd_set_reg32(struct vtd_unit *u, u32 r, u32 value)
{
	store_release((u32 *)(u->regs + r), value);
}

static u32 set_bits(struct vtd_unit *u, u32 r, u64 bits)
{
	return atomic_or((u32 *)(u->regs + r), (u32)bits);
}

static void clear_bits(struct vtd_unit *u, u32 r, u32 bits)
{
	(void)atomic_and((u32 *)(u->regs + r), ~bits);
}

void vtd_raise_fault(struct vtd_unit *u, u32 fsts_bit)
{
	/* An event while another is pending is not a new condition (FECTL_REG.IP). */
	if (!(set_bits(u, FSTS_REG, fsts_bit) & FSTS_CAUSES))
		u->fault_raised = true;
}

void vtd_raise_completion(struct vtd_unit *u)
{
	if (!(set_bits(u, ICS_REG, ICS_IWC) & ICS_IWC))
		u->interrupt_raised = true;
}

static u32 fault_records(const struct vtd_unit *u)
{
	return (u32)FIELD_GET(CAP_NFR, vtd_reg64(u, CAP_REG)) + 1;
}

static u32 fault_register(const struct vtd_unit *u, u32 i)
{
	return (u32)FIELD_GET(CAP_FRO, vtd_reg64(u, CAP_REG)) * 16 + 16 * (i % fault_records(u));
}

static bool is_recorded(const struct vtd_unit *u, u32 i)
{
	return vtd_reg64(u, fault_register(u, i) + 8) & FRCD_HI_F;
}

/* FRI is the oldest record that is left, and PPF says that there is one (11.4.9). */
static void records_changed(struct vtd_unit *u)
{
	u32 nr = fault_records(u), oldest = u->next_record, left = 0;

	while (left < nr && !is_recorded(u, oldest)) {
		oldest++;
		left++;
	}
	clear_bits(u, FSTS_REG, (u32)(FSTS_FRI | (left == nr ? FSTS_PPF : 0)));
	set_bits(u, FSTS_REG, FIELD_PREP(FSTS_FRI, oldest % nr));
}

/* The records are a ring. If the next one is in use, the fault is lost. */
void vtd_record_fault(struct vtd_unit *u, u16 sid, dfn_t dfn, bool write, u32 reason)
{
	u32 r = fault_register(u, u->next_record);

	if (is_dead(u))
		return;
	if (is_recorded(u, u->next_record)) {
		set_bits(u, FSTS_REG, FSTS_PFO);
		return;
	}
	u->next_record = (u->next_record + 1) % fault_records(u);
	vtd_set_reg64(u, r, dfn << PAGE_SHIFT);
	vtd_set_reg64(u, r + 8,
		      FRCD_HI_F | (write ? 0 : FRCD_HI_T) | FIELD_PREP(FRCD_HI_FR, reason) |
			      FIELD_PREP(FRCD_HI_SID, sid));
	records_changed(u);
	vtd_raise_fault(u, FSTS_PPF);
}

static bool is_record(const struct vtd_unit *u, u32 r)
{
	u32 first = fault_register(u, 0);

	return r >= first && r < first + 16 * fault_records(u) && r % 16 == 12;
}

volatile void *mmio_map(paddr_t pa, size_t size)
{
	u64 i = (pa - MACHINE_REGS) / MACHINE_REGS_STEP;

	vtd_require(i < VTD_UNITS && size <= sizeof(vtd_units[i].regs), "no register at 0x%lx", pa);
	vtd_units[i].mapped = size;
	return vtd_units[i].regs;
}

static struct vtd_unit *unit_with(volatile void *base, u32 r)
{
	struct vtd_unit *u = container_of((volatile u8(*)[MACHINE_REGS_SIZE])base, struct vtd_unit,
					  regs);

	vtd_require(r + sizeof(u64) <= u->mapped, "register 0x%x is not mapped", r);
	return u;
}

u32 hw_read32(volatile void *base, u32 r)
{
	struct vtd_unit *u = unit_with(base, r);

	return is_dead(u) ? ~0u : vtd_reg32(u, r);
}

u64 hw_read64(volatile void *base, u32 r)
{
	struct vtd_unit *u = unit_with(base, r);

	return is_dead(u) ? ~0UL : vtd_reg64(u, r);
}

void (*vtd_before_register_write)(u32 r);

void hw_write32(volatile void *base, u32 r, u32 v)
{
	struct vtd_unit *u = unit_with(base, r);

	if (vtd_before_register_write)
		vtd_before_register_write(r);
	if (is_dead(u))
		return;
	if (r == GCMD_REG) {
		if (!(v & GCMD_QIE) && (vtd_reg32(u, GSTS_REG) & GCMD_QIE)) {
			vtd_require(vtd_reg64(u, IQH_REG) == vtd_reg64(u, IQT_REG),
				    "the queue is switched off with descriptors in it");
			vtd_set_reg64(u, IQH_REG, 0);
		}
		/* One-shot bits stay set in the status; the others follow. */
		vtd_set_reg32(u, GSTS_REG,
			      v | (vtd_reg32(u, GSTS_REG) & (u32)(GCMD_SRTP | GCMD_SIRTP)));
		vtd_require(!(v & GCMD_TE) || !(v & GCMD_CFI),
			    "messages in the old format pass by the remapping");
	} else if (r == PMEN_REG) {
		vtd_require(vtd_reg32(u, GSTS_REG) & GCMD_TE,
			    "memory is not protected any more, and translation is off");
		vtd_set_reg32(u, r, v & (u32)PMEN_EPM ? (u32)(PMEN_EPM | PMEN_PRS) : 0);
	} else if (r == FSTS_REG || r == ICS_REG) {
		/* PPF says that a record has F set, and is read-only. */
		clear_bits(u, r, r == FSTS_REG ? v & ~(u32)FSTS_PPF : v);
	} else if (is_record(u, r)) {
		pthread_mutex_lock(&u->lock);
		clear_bits(u, r, v);
		records_changed(u);
		pthread_mutex_unlock(&u->lock);
	} else {
		vtd_set_reg32(u, r, v);
	}
}

void hw_write64(volatile void *base, u32 r, u64 v)
{
	struct vtd_unit *u = unit_with(base, r);

	vtd_require(r != IRTA_REG || !(v & IRTA_EIME) || (vtd_reg64(u, ECAP_REG) & ECAP_EIM),
		    "the unit has no x2APIC ids");
	if (!is_dead(u))
		vtd_set_reg64(u, r, v);
}

/* --- start and end -------------------------------------------------------- */

static void put(u8 **p, u64 v, unsigned int size)
{
	memcpy(*p, &v, size);
	*p += size;
}

static void put_endpoint(u8 **p, struct pci_id dev)
{
	put(p, 1, 1);
	put(p, 8, 1);
	put(p, 0, 3);
	put(p, dev.bdf >> 8, 1);
	put(p, dev.bdf >> 3 & 31, 1);
	put(p, dev.bdf & 7, 1);
}

/* Unit 0 lists two devices, unit 1 has all others. */
static size_t make_dmar(u8 *table)
{
	u8 *p = table + 36;

	put(&p, 47, 1);
	put(&p, 1, 1);
	p = table + 48;
	put(&p, 0, 2); /* DRHD */
	put(&p, 32, 2);
	put(&p, 0, 4);
	put(&p, MACHINE_REGS, 8);
	put_endpoint(&p, vtd_devices[0]);
	put_endpoint(&p, vtd_devices[4]);
	put(&p, 0, 2);
	put(&p, 16, 2);
	put(&p, 1, 4);
	put(&p, MACHINE_REGS + MACHINE_REGS_STEP, 8);
	for (unsigned int i = 0; i < 2; i++) { /* RMRRs of the same region for two devices */
		put(&p, 1, 2);
		put(&p, 32, 2);
		put(&p, 0, 4);
		put(&p, VTD_RESERVED_FIRST << PAGE_SHIFT, 8);
		put(&p, ((VTD_RESERVED_FIRST + VTD_RESERVED_FRAMES) << PAGE_SHIFT) - 1, 8);
		put_endpoint(&p, VTD_RESERVED_DEVICE(i));
	}
	put(&p, 2, 2); /* ATSR: all ports */
	put(&p, 8, 2);
	put(&p, 1, 4);
	return (size_t)(p - table);
}

static void start_unit(unsigned int i, const struct vtd_config *c)
{
	struct vtd_unit *u = &vtd_units[i];
	u64 cap = (CAP_DEFAULT & ~c->cap_clear) | c->cap_set,
	    ecap = (ECAP_DEFAULT & ~c->ecap_clear) | c->ecap_set;

	memset(u, 0, sizeof(*u));
	pthread_mutex_init(&u->lock, NULL);
	cache_init(&u->iotlb, NULL);
	cache_init(&u->pointers, vtd_pointers_to);
	vtd_set_reg64(u, CAP_REG, (cap & ~c->only[i].cap_clear) | c->only[i].cap_set);
	vtd_set_reg64(u, ECAP_REG, (ecap & ~c->only[i].ecap_clear) | c->only[i].ecap_set);
}

static void leave_behind(struct vtd_unit *u)
{
	for (dfn_t dfn = 0; dfn < 64; dfn++) {
		for (u16 did = 1; did < 4; did++) {
			struct cached e = { .did = did, .perm = SS_R | SS_W, .dfn = dfn };

			e.mfn = POISON_FRAME;
			cache_add(&u->iotlb, e);
			e.order = 9;
			e.dfn = dfn << 9;
			cache_add(&u->pointers, e);
		}
	}
	for (unsigned int i = 0; i < IRTE_PER_UNIT; i++) {
		u->interrupt[i].valid = true;
		u->interrupt[i].e.lo = IRTE_P | FIELD_PREP(IRTE_VECTOR, 0x99UL);
		u->interrupt[i].e.hi = IRTE_HI_SVT_SID | vtd_devices[i % VTD_DEVICES].bdf;
	}
	for (unsigned int i = 0; i < VTD_DEVICES; i++) {
		u->context[i] = (struct context_copy){
			.valid = true, .present = true, .ats = true, .did = 1, .levels = 4
		};
		u->context[i].root = POISON_FRAME << PAGE_SHIFT;
		vtd_pointers_to[POISON_FRAME]++;
	}
	for (u32 i = 0; i < fault_records(u); i++)
		vtd_record_fault(u, vtd_devices[0].bdf, i, true, FAULT_WRITE);
	vtd_record_fault(u, vtd_devices[0].bdf, 0, true, FAULT_WRITE);
	set_bits(u, FSTS_REG, FSTS_ICE | FSTS_ITE);
	u->fault_raised = false; /* it went elsewhere */
}

/* Nothing of that is left, and the next fault is reported. */
static void check_left_behind(struct vtd_unit *u)
{
	vtd_require(!u->iotlb.used && !u->pointers.used, "translations of an earlier system stay");
	for (unsigned int i = 0; i < IRTE_PER_UNIT; i++)
		vtd_require(!u->interrupt[i].valid, "interrupts of an earlier system stay");
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		vtd_require(!u->context[i].valid, "context entries of an earlier system stay");
	for (u32 i = 0; i < fault_records(u); i++)
		vtd_require(!is_recorded(u, i), "faults of an earlier system stay");
	vtd_require(!(vtd_reg32(u, FSTS_REG) & FSTS_CAUSES), "errors of an earlier system stay");
}

bool vtd_start(const struct vtd_config *config)
{
	static const struct iommu_options options;
	u8 dmar[256] = { 0 };

	machine_start(MAX(config->frames, MACHINE_FRAMES));
	work_start();
	memset(vtd_ats, 0, sizeof(vtd_ats));
	memset(vtd_stopped, 0, sizeof(vtd_stopped));
	memset(vtd_dead, 0, sizeof(vtd_dead));
	memset(vtd_gone, 0, sizeof(vtd_gone));
	vtd_device_answers = NULL;
	vtd_refuse_type = 0;
	memset(iommu_units, 0, sizeof(iommu_units));
	memset(&iommu_common, 0, sizeof(iommu_common));
	iommu_nr_units = 0;
	for (unsigned int i = 0; i < VTD_UNITS; i++)
		start_unit(i, config);
	memset(vtd_device_states, 0, sizeof(vtd_device_states));
	for (unsigned int i = 0; i < VTD_DEVICES; i++)
		cache_init(&vtd_device_states[i].tlb, NULL);
	for (unsigned int i = 0; config->used && i < VTD_UNITS; i++)
		leave_behind(&vtd_units[i]);
	if (iommu_init(dmar, make_dmar(dmar), &options))
		return false;
	for (unsigned int i = 0; config->used && i < VTD_UNITS; i++)
		check_left_behind(&vtd_units[i]);
	vtd_free_at_start = alloc_free_frames();
	return true;
}

void vtd_stop(void)
{
	machine_stop();
}
