#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <drivers/lapic.h>
#include <drivers/pci.h>
#include <iommu/domain.h>
#include <iommu/hw.h>
#include <kernel/alloc.h>
#include <kernel/clock.h>
#include <kernel/errno.h>
#include <kernel/frame.h>
#include <kernel/irq.h>
#include <kernel/paging.h>
#include <kernel/string.h>
#include <kernel/work.h>
#include <tests/unit/vtd.h>

#include <cmocka.h>

#define FRAMES (1UL << 20)
#define REGS_BASE 0xfed90000UL
#define MAX_CACHED 512

struct iotlb_entry {
	u16 did;
	dfn_t dfn;
	mfn_t mfn;
	unsigned int order;
};

/* A cached pointer to a table: walks for dfns under it may start there. */
struct pointer_entry {
	u16 did;
	dfn_t dfn;
	unsigned int order; /* of what the table covers */
	unsigned int level; /* of the table */
	paddr_t table;
};

struct context_copy {
	bool valid, ats;
	u16 bdf, did;
	paddr_t root;
	unsigned int levels;
};

static struct unit {
	u8 regs[2 * PAGE_SIZE] __aligned(4096);
	struct iotlb_entry iotlb[MAX_CACHED];
	unsigned int nr_iotlb;
	struct pointer_entry pointer[MAX_CACHED];
	unsigned int nr_pointer;
	struct context_copy context[4];
	bool interrupt, fault;
	struct iotlb_entry device_tlb[MAX_CACHED]; /* of its one device */
	unsigned int nr_device_tlb;
} units[VTD_UNITS];
bool (*vtd_device_answers)(u16 bdf);
unsigned int vtd_refuse_type, vtd_refusals;
bool vtd_ats[VTD_UNITS], vtd_stopped[VTD_UNITS];

static u8 *memory;
static void *frame_memory;
u64 vtd_last_iotlb[2], vtd_free_at_start;
static u64 now;
static struct {
	void (*handler)(void *arg);
	void *arg;
} irqs[256];
static int next_irq;

/* --- the machine ------------------------------------------------------------------------------------------------------------ */

void *phys_to_virt(paddr_t pa)
{
	assert_true(pa < FRAMES << PAGE_SHIFT);
	return memory + pa;
}

paddr_t virt_to_phys(const void *va)
{
	assert_true((const u8 *)va >= memory && (const u8 *)va < memory + (FRAMES << PAGE_SHIFT));
	return (paddr_t)((const u8 *)va - memory);
}

volatile void *mmio_map(paddr_t pa, size_t size)
{
	assert_true(size <= sizeof(units[0].regs));
	return units[(pa - REGS_BASE) / 0x10000].regs;
}

u64 clock_ns(void)
{
	return now += 100;
}

u64 hw_cycles(void)
{
	return clock_ns();
}

u64 hw_cycles_to_ns(u64 cycles)
{
	return cycles;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	(void)t, (void)fn;
}

void timer_set(struct timer *t, u64 ns)
{
	(void)t, (void)ns;
}

void timer_cancel(struct timer *t)
{
	(void)t;
}

bool lapic_is_x2apic(void)
{
	return true;
}

u32 pci_config_read32(u16 segment, u16 bdf, u16 offset)
{
	(void)segment, (void)bdf, (void)offset;
	return 0;
}

static unsigned int unit_of(struct pci_id dev)
{
	return dev.bdf == VTD_DEVICE_0.bdf ? 0 : 1;
}

u32 pci_ats_depth(struct pci_id id)
{
	(void)id;
	return 4;
}

void pci_ats_enable(struct pci_id id)
{
	vtd_ats[unit_of(id)] = true;
	units[unit_of(id)].nr_device_tlb = 0;
}

void pci_stop(struct pci_id id)
{
	vtd_ats[unit_of(id)] = false;
	vtd_stopped[unit_of(id)] = true;
}

bool pci_exists(u16 segment, u16 bdf)
{
	(void)segment, (void)bdf;
	return true;
}

int irq_alloc(u32 cpu, void (*handler)(void *arg), void *arg)
{
	(void)cpu;
	irqs[next_irq].handler = handler;
	irqs[next_irq].arg = arg;
	return next_irq++;
}

void irq_msi_message(u32 cpu, int vector, u64 *address, u32 *data)
{
	(void)cpu;
	*address = 0xfee00000;
	*data = (u32)vector;
}

void irq_wait(void)
{
	for (unsigned int i = 0; i < VTD_UNITS; i++)
		vtd_execute(i, ~0u);
	vtd_interrupts();
}

/* --- deferred work ------------------------------------------------------------------------------------------------------------- */

static struct list work_items = LIST_INIT(work_items);
static struct work *running;

void work_init(struct work *w, bool (*step)(struct work *w))
{
	list_init(&w->link);
	w->step = step;
	w->state = 0;
}

void work_queue(struct work *w)
{
	if (w->state)
		return;
	w->state = 1;
	list_add_tail(&work_items, &w->link);
}

void work_forget(struct work *w)
{
	assert_ptr_equal(running, w);
	running = NULL;
}

bool vtd_work(void)
{
	struct work *w;

	if (list_empty(&work_items))
		return false;
	running = w = list_first(&work_items, struct work, link);
	list_del(&w->link);
	w->state = 0;
	if (!w->step(w) && running)
		work_queue(w);
	running = NULL;
	return true;
}

/* --- registers ------------------------------------------------------------------------------------------------------------------- */

static struct unit *unit_at(volatile void *base)
{
	return &units[((volatile u8 *)base - (volatile u8 *)units) / sizeof(units[0])];
}

static u64 reg(struct unit *u, u32 r)
{
	u64 v;

	memcpy(&v, u->regs + r, 8);
	return v;
}

static void set_reg32(struct unit *u, u32 r, u32 v)
{
	memcpy(u->regs + r, &v, 4);
}

u32 hw_read32(volatile void *base, u32 r)
{
	return (u32)reg(unit_at(base), r);
}

u64 hw_read64(volatile void *base, u32 r)
{
	return reg(unit_at(base), r);
}

void hw_write32(volatile void *base, u32 r, u32 v)
{
	struct unit *u = unit_at(base);

	switch (r) {
	case GCMD_REG:
		/* One-shot bits stay set in the status; the others follow. */
		set_reg32(u, GSTS_REG, v | ((u32)reg(u, GSTS_REG) & (u32)(GCMD_SRTP | GCMD_SIRTP)));
		break;
	case FSTS_REG:
		set_reg32(u, FSTS_REG, (u32)reg(u, FSTS_REG) & ~v);
		break;
	case ICS_REG:
		set_reg32(u, ICS_REG, (u32)reg(u, ICS_REG) & ~v);
		break;
	default:
		set_reg32(u, r, v);
	}
}

void hw_write64(volatile void *base, u32 r, u64 v)
{
	memcpy(unit_at(base)->regs + r, &v, 8);
}

void hw_write_back(const void *p, size_t n)
{
	(void)p, (void)n;
}

/* --- caches ------------------------------------------------------------------------------------------------------------------------- */

static bool overlap(dfn_t a, unsigned int a_order, dfn_t b, unsigned int b_order)
{
	return a < b + (1UL << b_order) && b < a + (1UL << a_order);
}

/* Drop what a range of a domain touches; did < 0: of all; pointers only where they may not stay. */
static void drop(struct unit *u, int did, dfn_t dfn, unsigned int order, bool pointers)
{
	unsigned int kept = 0;

	for (unsigned int i = 0; i < u->nr_iotlb; i++) {
		struct iotlb_entry *e = &u->iotlb[i];

		if (!((did < 0 || e->did == did) && overlap(e->dfn, e->order, dfn, order)))
			u->iotlb[kept++] = *e;
	}
	u->nr_iotlb = kept;
	kept = 0;
	for (unsigned int i = 0; i < u->nr_pointer; i++) {
		struct pointer_entry *e = &u->pointer[i];

		if (!(pointers && (did < 0 || e->did == did) && overlap(e->dfn, e->order, dfn, order)))
			u->pointer[kept++] = *e;
	}
	u->nr_pointer = kept;
}

static struct context_copy *context_of(struct unit *u, u16 bdf)
{
	struct root_entry *root = phys_to_virt(reg(u, RTADDR_REG));
	struct context_copy *c = &u->context[bdf >> 3 & 3];
	struct context_entry *e;

	if (c->valid && c->bdf == bdf)
		return c;
	if (!(root[bdf >> 8].lo & ROOT_P))
		return NULL;
	e = (struct context_entry *)phys_to_virt(root[bdf >> 8].lo & PAGE_MASK) + (bdf & 0xff);
	if (!(e->lo & CONTEXT_P))
		return NULL;
	*c = (struct context_copy){ true,
				    (e->lo & (3 << 2)) == CONTEXT_TT_DEVICE_TLB,
				    bdf,
				    (u16)FIELD_GET(CONTEXT_DID, e->hi),
				    e->lo & SS_ADDR,
				    (unsigned int)FIELD_GET(CONTEXT_AW, e->hi) + 2 };
	return c;
}

bool vtd_dma(struct pci_id dev, dfn_t dfn, mfn_t *mfn)
{
	struct unit *u = &units[dev.bdf == VTD_DEVICE_0.bdf ? 0 : 1];
	struct context_copy *c = context_of(u, dev.bdf);
	unsigned int level;
	paddr_t table;

	if (!c)
		return false;
	for (unsigned int i = 0; i < u->nr_iotlb; i++) {
		struct iotlb_entry *e = &u->iotlb[i];

		if (e->did == c->did && overlap(e->dfn, e->order, dfn, 0)) {
			*mfn = e->mfn + (dfn - e->dfn);
			return true;
		}
	}
	level = c->levels;
	table = c->root;
	/* From a cached pointer, any of those that fit: the lowest that was found first. */
	for (unsigned int i = 0; i < u->nr_pointer; i++) {
		struct pointer_entry *e = &u->pointer[i];

		if (e->did == c->did && e->level < level && overlap(e->dfn, e->order, dfn, 0)) {
			level = e->level;
			table = e->table;
		}
	}
	for (;; level--) {
		unsigned int order = 9 * (level - 1);
		u64 e = ((u64 *)phys_to_virt(table))[(dfn >> order) & 511];

		if (!(e & (SS_R | SS_W)))
			return false;
		if (level == 1 || (e & SS_PS)) {
			assert_true(u->nr_iotlb < MAX_CACHED);
			u->iotlb[u->nr_iotlb++] = (struct iotlb_entry){
				c->did, dfn & ~((1UL << order) - 1), (e & SS_ADDR) >> PAGE_SHIFT, order
			};
			*mfn = ((e & SS_ADDR) >> PAGE_SHIFT) + (dfn & ((1UL << order) - 1));
			return true;
		}
		table = e & SS_ADDR;
		assert_true(u->nr_pointer < MAX_CACHED);
		u->pointer[u->nr_pointer++] = (struct pointer_entry){ c->did,
								      dfn & ~((1UL << order) - 1),
								      order, level - 1, table };
	}
}

bool vtd_translated_dma(struct pci_id dev, dfn_t dfn, mfn_t *mfn)
{
	struct unit *u = &units[unit_of(dev)];
	struct context_copy *c = context_of(u, dev.bdf);

	if (!c || !c->ats)
		return false;
	for (unsigned int i = 0; i < u->nr_device_tlb; i++) {
		struct iotlb_entry *e = &u->device_tlb[i];

		if (overlap(e->dfn, e->order, dfn, 0)) {
			*mfn = e->mfn + (dfn - e->dfn);
			return true;
		}
	}
	if (!vtd_ats[unit_of(dev)] || !vtd_dma(dev, dfn, mfn))
		return false;
	for (unsigned int i = 0; i < u->nr_iotlb; i++)
		if (u->iotlb[i].did == c->did && overlap(u->iotlb[i].dfn, u->iotlb[i].order, dfn, 0))
			u->device_tlb[u->nr_device_tlb++] = u->iotlb[i];
	return true;
}

void vtd_check(void)
{
	for (unsigned int n = 0; n < VTD_UNITS; n++) {
		struct unit *u = &units[n];

		for (unsigned int i = 0; i < u->nr_iotlb; i++)
			for (u64 k = 0; k < 1UL << MIN(u->iotlb[i].order, 9u); k++)
				if (!frame_dev_refs(u->iotlb[i].mfn + k))
					fail_msg("dfn 0x%lx is cached, its frame 0x%lx has no reference any more",
						 u->iotlb[i].dfn + k, u->iotlb[i].mfn + k);
		for (unsigned int i = 0; i < u->nr_pointer; i++) {
			struct frame_info f;

			assert_true(frame_query(u->pointer[i].table >> PAGE_SHIFT, &f));
			if (f.type != FRAME_IO_TABLE)
				fail_msg("a table that was freed is cached for dfn 0x%lx",
					 u->pointer[i].dfn);
		}
	}
}

unsigned int vtd_cached(void)
{
	return units[0].nr_iotlb + units[0].nr_pointer + units[1].nr_iotlb + units[1].nr_pointer;
}

/* --- the queue -------------------------------------------------------------------------------------------------------------------------- */

static void invalidate_iotlb(struct unit *u, const struct qi_desc *d)
{
	u16 did = (u16)FIELD_GET(QI_DID, d->lo);

	if (u == &units[0]) {
		vtd_last_iotlb[0] = d->lo;
		vtd_last_iotlb[1] = d->hi;
	}
	switch (d->lo & (3 << 4)) {
	case QI_GLOBAL:
		drop(u, -1, 0, 52, true);
		break;
	case QI_DOMAIN:
		drop(u, did, 0, 52, true);
		break;
	case QI_PAGE:
		assert_int_equal((d->hi >> PAGE_SHIFT) & ((1UL << FIELD_GET(QI_IOTLB_AM, d->hi)) - 1),
				 0);
		drop(u, did, d->hi >> PAGE_SHIFT, (unsigned int)FIELD_GET(QI_IOTLB_AM, d->hi),
		     !(d->hi & QI_IOTLB_IH));
		break;
	default:
		fail_msg("IOTLB invalidation without granularity");
	}
}

static void raise_fault_event(struct unit *u, u64 bit)
{
	set_reg32(u, FSTS_REG, (u32)reg(u, FSTS_REG) | (u32)bit);
	u->fault = true;
}

/* The address' lowest zero bit tells the size. */
static void invalidate_device_tlb(struct unit *u, const struct qi_desc *d)
{
	dfn_t dfn = d->hi >> PAGE_SHIFT;
	unsigned int kept = 0, order = 0;

	if (vtd_device_answers && !vtd_device_answers((u16)FIELD_GET(QI_DEVICE_TLB_SID, d->lo))) {
		raise_fault_event(u, FSTS_ITE);
		return;
	}
	if (d->hi & QI_DEVICE_TLB_S)
		order = (unsigned int)__builtin_ctzl(~dfn) + 1;
	dfn = ALIGN_DOWN(dfn, 1UL << order);
	for (unsigned int i = 0; i < u->nr_device_tlb; i++)
		if (!overlap(u->device_tlb[i].dfn, u->device_tlb[i].order, dfn, order))
			u->device_tlb[kept++] = u->device_tlb[i];
	u->nr_device_tlb = kept;
}

static void carry_out(struct unit *u, const struct qi_desc *d)
{
	switch (d->lo & 0xf) {
	case QI_TYPE_CONTEXT:
		memset(u->context, 0, sizeof(u->context));
		break;
	case QI_TYPE_IOTLB:
		invalidate_iotlb(u, d);
		break;
	case QI_TYPE_DEVICE_TLB:
		invalidate_device_tlb(u, d);
		break;
	case QI_TYPE_IEC:
		break;
	case QI_TYPE_WAIT:
		if (reg(u, FSTS_REG) & FSTS_ITE)
			break; /* aborted */
		/* Both at once is what some emulators abort on. */
		assert_true(!(d->lo & QI_WAIT_SW) != !(d->lo & QI_WAIT_IF));
		if (d->lo & QI_WAIT_SW)
			*(u32 *)phys_to_virt(d->hi) = (u32)FIELD_GET(QI_WAIT_DATA, d->lo);
		if ((d->lo & QI_WAIT_IF) && !(reg(u, ICS_REG) & ICS_IWC)) {
			set_reg32(u, ICS_REG, ICS_IWC);
			u->interrupt = true;
		}
		break;
	default:
		fail_msg("descriptor %lx %lx is of no type", d->lo, d->hi);
	}
}

unsigned int vtd_execute(unsigned int unit, unsigned int n)
{
	struct unit *u = &units[unit];
	unsigned int done = 0;

	if (!(reg(u, GSTS_REG) & GCMD_QIE))
		return 0;
	while (done < n && reg(u, IQH_REG) != reg(u, IQT_REG)) {
		u64 head = reg(u, IQH_REG);
		const struct qi_desc *d = (struct qi_desc *)((u8 *)phys_to_virt(reg(u, IQA_REG)) + head);

		/* With ITE set the wait that is pending is aborted, and nothing else taken. */
		if ((reg(u, FSTS_REG) & FSTS_IQE) ||
		    ((reg(u, FSTS_REG) & FSTS_ITE) && (d->lo & 0xf) != QI_TYPE_WAIT))
			break;
		if (vtd_refuse_type && (d->lo & 0xf) == vtd_refuse_type) {
			vtd_refuse_type = --vtd_refusals ? vtd_refuse_type : 0;
			raise_fault_event(u, FSTS_IQE);
			break;
		}

		carry_out(u, d);
		head = (head + sizeof(*d)) % PAGE_SIZE;
		memcpy(u->regs + IQH_REG, &head, 8);
		done++;
	}
	return done;
}

bool vtd_interrupts(void)
{
	bool any = false;

	for (unsigned int i = 0; i < VTD_UNITS; i++) {
		struct unit *u = &units[i];
		u32 vector = (u32)reg(u, IEDATA_REG);

		if (!u->interrupt || (reg(u, IECTL_REG) & EVENT_IM))
			continue;
		u->interrupt = false;
		any = true;
		irqs[vector].handler(irqs[vector].arg);
	}
	for (unsigned int i = 0; i < VTD_UNITS; i++) {
		u32 vector = (u32)reg(&units[i], FEDATA_REG);

		if (!units[i].fault)
			continue;
		units[i].fault = false;
		any = true;
		irqs[vector].handler(irqs[vector].arg);
	}
	return any;
}

void vtd_settle(void)
{
	bool any;

	do {
		any = false;
		for (unsigned int i = 0; i < VTD_UNITS; i++)
			any |= vtd_execute(i, ~0u) > 0;
		any |= vtd_interrupts();
		while (vtd_work())
			any = true;
	} while (any);
}

/* --- start and end ------------------------------------------------------------------------------------------------------------------------ */

static void put(u8 **p, u64 v, unsigned int size)
{
	memcpy(*p, &v, size);
	*p += size;
}

/* Unit 0 has the device at 00:03.0, unit 1 all others. */
static size_t make_dmar(u8 *table)
{
	u8 *p = table + 36;

	put(&p, 47, 1);
	put(&p, 1, 1);
	p = table + 48;
	put(&p, 0, 2);
	put(&p, 24, 2);
	put(&p, 0, 2);
	put(&p, 0, 2);
	put(&p, REGS_BASE, 8);
	put(&p, 1, 1);
	put(&p, 8, 1);
	put(&p, 0, 4);
	put(&p, 3, 1);
	put(&p, 0, 1);
	put(&p, 0, 2);
	put(&p, 16, 2);
	put(&p, 1, 2);
	put(&p, 0, 2);
	put(&p, REGS_BASE + 0x10000, 8);
	for (unsigned int i = 0; i < 2; i++) { /* RMRRs of the same region for two devices */
		put(&p, 1, 2);
		put(&p, 32, 2);
		put(&p, 0, 4);
		put(&p, VTD_RESERVED_FIRST << PAGE_SHIFT, 8);
		put(&p, ((VTD_RESERVED_FIRST + VTD_RESERVED_FRAMES) << PAGE_SHIFT) - 1, 8);
		put(&p, 1, 1);
		put(&p, 8, 1);
		put(&p, 0, 4);
		put(&p, 5 + i, 1);
		put(&p, 0, 1);
	}
	put(&p, 2, 2); /* ATSR: all ports */
	put(&p, 8, 2);
	put(&p, 1, 4);
	return (size_t)(p - table);
}

bool vtd_start(const struct vtd_config *config)
{
	static const struct iommu_options options;
	u8 dmar[256] = { 0 };
	size_t size = make_dmar(dmar);

	memset(units, 0, sizeof(units));
	memset(vtd_ats, 0, sizeof(vtd_ats));
	memset(vtd_stopped, 0, sizeof(vtd_stopped));
	vtd_device_answers = NULL;
	vtd_refuse_type = 0;
	memset(iommu_units, 0, sizeof(iommu_units));
	memset(&iommu_common, 0, sizeof(iommu_common));
	iommu_nr_units = 0;
	next_irq = 0;
	list_init(&work_items);
	for (unsigned int i = 0; i < VTD_UNITS; i++) {
		u64 cap = (0x00d2008c222f0606UL | config->cap_set) & ~config->cap_clear;
		u64 ecap = (0xf00f5eUL | config->ecap_set) & ~config->ecap_clear;

		memcpy(units[i].regs + CAP_REG, &cap, 8);
		memcpy(units[i].regs + ECAP_REG, &ecap, 8);
	}
	memory = mmap(NULL, FRAMES << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	frame_memory = calloc(1, frame_table_size(FRAMES));
	frame_table_init(frame_memory, FRAMES);
	alloc_add(0x100, 0x8000);
	vtd_free_at_start = 0;
	if (iommu_init(dmar, size, &options))
		return false;
	vtd_free_at_start = alloc_free_frames();
	return true;
}

void vtd_stop(void)
{
	u64 left = alloc_free_frames();

	while (left) {
		unsigned int order = 63 - (unsigned int)__builtin_clzl(left);

		order = MIN(order, (unsigned int)ALLOC_MAX_ORDER);
		while (alloc_frames(order) == INVALID_MFN)
			order--;
		left = alloc_free_frames();
	}
	munmap(memory, FRAMES << PAGE_SHIFT);
	free(frame_memory);
}
