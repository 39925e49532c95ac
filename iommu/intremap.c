/* Interrupt remapping (VT-d chapter 5): a device's message names an entry, and the entry names
 * vector and CPU. An entry accepts messages of its own device only.
 *
 * An entry's lower half (present, vector, destination) is one 64-bit word, so that changing it is
 * one store: the unit sees the old interrupt or the new one. The upper half (source id) changes
 * only while the entry is not present and its invalidation is done; an entry is given out again
 * only then.
 */
#include <iommu/intremap.h>

#include <iommu/hw.h>
#include <kernel/core/lapic.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>
#include <kernel/x86/apic.h>

#define IRTA_SIZE (__builtin_ctz(IRTE_PER_UNIT) - 1)
_Static_assert(IRTE_PER_UNIT * sizeof(struct irte) == PAGE_SIZE, "one page");

struct irte_slot {
	struct iommu_request request;
	struct iommu_unit *unit;
	u16 index;
	bool used;
	bool busy; /* an invalidation is outstanding */
	bool again; /* and one more is needed behind it */
	bool freeing;
	void (*freed)(void *arg);
	void *arg;
};

static void irte_invalidated(struct iommu_request *r);

bool intremap_init(struct iommu_unit *u)
{
	struct iommu_request r = { .desc = { qi_iec_global() }, .nr = 1 };
	u64 irta;

	u->irtes = alloc_page();
	u->irte_slots = kzalloc(IRTE_PER_UNIT * sizeof(*u->irte_slots));
	if (!u->irtes || !u->irte_slots ||
	    frame_set(virt_to_mfn(u->irtes), ORDER_4K, FRAME_IO_TABLE, OWNER_WEIR)) {
		log_err("iommu: unit %u: no memory for its interrupt-remapping table", u->index);
		return false;
	}
	for (u16 i = 0; i < IRTE_PER_UNIT; i++) {
		struct irte_slot *s = &u->irte_slots[i];

		list_init(&s->request.link);
		s->request.done = irte_invalidated;
		s->unit = u;
		s->index = i;
	}
	unit_write_back(u, u->irtes, PAGE_SIZE);
	u->eim = (u->ecap & ECAP_EIM) && lapic_is_x2apic();
	irta = virt_to_phys(u->irtes) | FIELD_PREP(IRTA_S, IRTA_SIZE);
	hw_write64(u->regs, IRTA_REG, irta | (u->eim ? IRTA_EIME : 0));
	if (!unit_command(u, GCMD_SIRTP, true))
		return false;
	list_init(&r.link);
	if (queue_submit_and_sleep(u, &r)) {
		log_err("iommu: unit %u: its invalidation queue does not answer", u->index);
		return false;
	}
	/* GCMD.CFI stays 0: messages in the old format are blocked. */
	return unit_command(u, GCMD_IRE, true);
}

/* The entry has changed: have the unit drop its cached copy. */
static void invalidate_irte(struct irte_slot *s)
{
	assert_locked(&s->unit->irte_lock);
	unit_write_back(s->unit, &s->unit->irtes[s->index], sizeof(struct irte));
	if (s->busy) {
		s->again = true;
		return;
	}
	s->busy = true;
	s->request.desc[0] = qi_iec_index(s->index);
	s->request.nr = 1;
	queue_submit(s->unit, &s->request);
}

/* Interrupt context or deferred work. */
static void irte_invalidated(struct iommu_request *r)
{
	struct irte_slot *s = container_of(r, struct irte_slot, request);
	struct iommu_unit *u = s->unit;
	void (*freed)(void *arg) = NULL;
	void *arg = NULL;

	spin_lock(&u->irte_lock);
	s->busy = false;
	if (s->again) {
		s->again = false;
		invalidate_irte(s);
	} else if (s->freeing) {
		freed = s->freed;
		arg = s->arg;
		s->freeing = s->used = false;
		u->nr_irtes--;
	}
	spin_unlock(&u->irte_lock);
	if (freed)
		freed(arg);
}

int iommu_irte_alloc(struct iommu_irte *e, struct pci_id dev)
{
	static struct log_limit limit = LOG_LIMIT_INIT(5); /* guests ask for entries */
	struct iommu_unit *u = iommu_unit_of(dev);
	u32 i;

	e->valid = false;
	if (!u || !u->irtes)
		return -ENODEV;
	spin_lock(&u->irte_lock);
	for (i = 0; i < IRTE_PER_UNIT && u->irte_slots[i].used; i++)
		;
	if (i < IRTE_PER_UNIT) {
		u->irte_slots[i].used = true;
		u->nr_irtes++;
		u->irtes[i].lo = 0;
		u->irtes[i].hi = FIELD_PREP(IRTE_HI_SID, dev.bdf) | IRTE_HI_SVT_SID;
		unit_write_back(u, &u->irtes[i], sizeof(struct irte));
	}
	spin_unlock(&u->irte_lock);
	if (i == IRTE_PER_UNIT) {
		if (log_allowed(&limit))
			log_err("iommu: unit %u: no interrupt entry is free (IRTE_PER_UNIT = %u)",
				u->index, IRTE_PER_UNIT);
		return -ENOSPC;
	}
	*e = (struct iommu_irte){ dev, (u16)i, (u16)u->index, true };
	return 0;
}

/* Write the lower half of an entry. */
static void change_irte(struct iommu_irte *e, u64 lo)
{
	struct iommu_unit *u = &iommu_units[e->unit];

	spin_lock(&u->irte_lock);
	if (u->irtes[e->index].lo != lo) {
		store_release(&u->irtes[e->index].lo, lo);
		invalidate_irte(&u->irte_slots[e->index]);
	}
	spin_unlock(&u->irte_lock);
}

void iommu_irte_set(struct iommu_irte *e, u32 apic_id, u8 vector)
{
	u64 destination = iommu_units[e->unit].eim ? FIELD_PREP(IRTE_DST, apic_id) :
						     FIELD_PREP(IRTE_DST_XAPIC, apic_id);

	change_irte(e, IRTE_P | FIELD_PREP(IRTE_VECTOR, vector) | destination);
}

void iommu_irte_mask(struct iommu_irte *e)
{
	change_irte(e, 0);
}

void iommu_irte_free(struct iommu_irte *e, void (*done)(void *arg), void *arg)
{
	struct iommu_unit *u = &iommu_units[e->unit];
	struct irte_slot *s = &u->irte_slots[e->index];

	spin_lock(&u->irte_lock);
	s->freed = done;
	s->arg = arg;
	s->freeing = true;
	store_release(&u->irtes[e->index].lo, 0UL);
	invalidate_irte(s);
	spin_unlock(&u->irte_lock);
	e->valid = false;
}

void iommu_irte_message(const struct iommu_irte *e, u64 *address, u32 *data)
{
	/* No subhandle (SHV = 0): the data says nothing. */
	*address = MSI_ADDRESS | MSI_FORMAT_REMAPPABLE | FIELD_PREP(MSI_HANDLE_LO, e->index) |
		   FIELD_PREP(MSI_HANDLE_HI, e->index >> 15);
	*data = 0;
}
