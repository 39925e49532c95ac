/* Interrupt remapping (VT-d chapter 5): a device's message names an entry, and the entry names
 * vector and CPU. An entry accepts messages of its own device only.
 *
 *	|  a device's block  |  another one's  |  free  |  ...      IRTE_PER_UNIT entries
 *
 * The table has a block of IOMMU_IRTES entries for each device that can be attached, so no device
 * can take what another one needs.
 *
 * An entry's lower half (present, vector, destination) is one 64-bit word, so that changing it is
 * one store: the unit sees the old interrupt or the new one. The upper half (source id) changes
 * only while the block's entries are not present and their invalidation is done; a block is given
 * out again only then.
 *
 * A block has one invalidation outstanding at most. What changes meanwhile is covered by the next
 * one, so a guest cannot fill the queue. Units may cache that an entry is not present, too: so an
 * entry is in force only when its invalidation has completed.
 */
#include <iommu/intremap.h>

#include <iommu/hw.h>
#include <kernel/core/lapic.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>
#include <kernel/x86/apic.h>

#define IRTA_SIZE (__builtin_ctz(IRTE_PER_UNIT) - 1)
#define NR_BLOCKS (IRTE_PER_UNIT / IOMMU_IRTES)
#define BLOCK_ORDER __builtin_ctz(IOMMU_IRTES)
#define TABLE_ORDER __builtin_ctz(IRTE_PER_UNIT * sizeof(struct irte) / PAGE_SIZE)
_Static_assert(PAGE_SIZE << TABLE_ORDER == IRTE_PER_UNIT * sizeof(struct irte), "whole pages");
_Static_assert(IRTE_PER_UNIT <= 65536 && IOMMU_IRTES == 64, "9.10, and entries are bits of a u64");

struct irte_block {
	struct iommu_request request;
	struct iommu_unit *unit;
	struct irte *entries;
	bool used;
	bool busy; /* an invalidation is outstanding, or its completion is being reported */
	bool blocked; /* all entries are, until iommu_irtes_block() opens them again */
	bool freeing;
	u64 posted; /* entries that the outstanding invalidation covers */
	u64 next; /* entries that have changed since */
	void (*in_force)(void *arg, u64 entries);
	void *in_force_arg;
	void (*freed)(void *arg);
	void *freed_arg;
};

static void block_invalidated(struct iommu_request *r);

static bool make_table(struct iommu_unit *u)
{
	mfn_t mfn = alloc_frames(TABLE_ORDER);

	u->irte_blocks = kzalloc(NR_BLOCKS * sizeof(*u->irte_blocks));
	if (mfn == INVALID_MFN || !u->irte_blocks)
		return false;
	for (u32 i = 0; i < 1u << TABLE_ORDER; i++)
		if (frame_set(mfn + i, ORDER_4K, FRAME_IO_TABLE, OWNER_WEIR))
			return false;
	u->irtes = mfn_to_virt(mfn);
	memset(u->irtes, 0, PAGE_SIZE << TABLE_ORDER);
	for (u32 i = 0; i < NR_BLOCKS; i++) {
		struct irte_block *b = &u->irte_blocks[i];

		list_init(&b->request.link);
		b->request.done = block_invalidated;
		b->unit = u;
		b->entries = &u->irtes[i * IOMMU_IRTES];
	}
	unit_write_back(u, u->irtes, PAGE_SIZE << TABLE_ORDER);
	return true;
}

bool intremap_init(struct iommu_unit *u)
{
	struct iommu_request r = { .desc = { qi_iec_global() }, .nr = 1 };
	u64 irta;

	if (!make_table(u)) {
		log_err("iommu: unit %u: no memory for its interrupt-remapping table", u->index);
		return false;
	}
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

/* --- invalidation --------------------------------------------------------- */

/* What drops these entries of a block, and perhaps others. */
static struct qi_desc invalidation_of(const struct irte_block *b, u64 entries)
{
	const struct iommu_unit *u = b->unit;
	u32 first = (u32)(b->entries - u->irtes);

	if (!(entries & (entries - 1)))
		return qi_iec_entries((u16)(first + (u32)__builtin_ctzl(entries)), 0);
	if (FIELD_GET(ECAP_MHMV, u->ecap) < BLOCK_ORDER)
		return qi_iec_global();
	return qi_iec_entries((u16)first, BLOCK_ORDER);
}

static void post_invalidation(struct irte_block *b)
{
	assert_locked(&b->unit->irte_lock);
	b->busy = true;
	b->posted = b->next;
	b->next = 0;
	b->request.desc[0] = invalidation_of(b, b->posted);
	b->request.nr = 1;
	queue_submit(b->unit, &b->request);
}

/* These entries have changed: have the unit drop its cached copies. */
static void invalidate_block(struct irte_block *b, u64 entries)
{
	assert_locked(&b->unit->irte_lock);
	unit_write_back(b->unit, b->entries, IOMMU_IRTES * sizeof(struct irte));
	b->next |= entries;
	if (!b->busy)
		post_invalidation(b);
}

static u64 present_of(const struct irte_block *b, u64 entries)
{
	u64 present = 0;

	for (u32 i = 0; i < IOMMU_IRTES; i++)
		if (entries & BIT(i) && b->entries[i].lo & IRTE_P)
			present |= BIT(i);
	return present;
}

/* Interrupt context or deferred work. The block stays busy while its owner is told: so it is not
 * free before that. */
static void block_invalidated(struct iommu_request *r)
{
	struct irte_block *b = container_of(r, struct irte_block, request);
	struct iommu_unit *u = b->unit;
	void (*freed)(void *arg) = NULL;
	void *arg = NULL;
	u64 in_force;

	spin_lock(&u->irte_lock);
	in_force = b->in_force ? present_of(b, b->posted & ~b->next) : 0;
	spin_unlock(&u->irte_lock);
	if (in_force)
		b->in_force(b->in_force_arg, in_force);

	spin_lock(&u->irte_lock);
	b->busy = false;
	if (b->next) {
		post_invalidation(b);
	} else if (b->freeing) {
		freed = b->freed;
		arg = b->freed_arg;
		b->freeing = b->used = false;
	}
	spin_unlock(&u->irte_lock);
	if (freed)
		freed(arg);
}

/* --- blocks --------------------------------------------------------------- */

static struct irte_block *find_free(struct iommu_unit *u)
{
	assert_locked(&u->irte_lock);
	for (u32 i = 0; i < NR_BLOCKS; i++)
		if (!u->irte_blocks[i].used)
			return &u->irte_blocks[i];
	return NULL;
}

int iommu_irtes_alloc(struct iommu_irtes *e, struct pci_id dev,
		      void (*in_force)(void *arg, u64 entries), void *arg)
{
	struct iommu_unit *u = iommu_unit_of(dev);
	struct irte_block *b;

	e->valid = false;
	if (!u || !u->irtes)
		return -ENODEV;
	spin_lock(&u->irte_lock);
	b = find_free(u);
	if (b) {
		b->used = true;
		b->blocked = false;
		b->in_force = in_force;
		b->in_force_arg = arg;
		for (u32 i = 0; i < IOMMU_IRTES; i++)
			b->entries[i] = (struct irte){
				.hi = FIELD_PREP(IRTE_HI_SID, dev.bdf) | IRTE_HI_SVT_SID,
			};
		unit_write_back(b->unit, b->entries, IOMMU_IRTES * sizeof(struct irte));
	}
	spin_unlock(&u->irte_lock);
	if (!b)
		return -ENOSPC;
	*e = (struct iommu_irtes){ dev, (u16)(b->entries - u->irtes), (u16)u->index, true };
	return 0;
}

static struct irte_block *block_of(const struct iommu_irtes *e)
{
	return &iommu_units[e->unit].irte_blocks[e->first / IOMMU_IRTES];
}

/* Write the lower half of an entry. True: it has changed. */
static bool change_entry(struct irte_block *b, u32 i, u64 lo)
{
	struct irte *e = &b->entries[i];

	assert_locked(&b->unit->irte_lock);
	if (e->lo == lo)
		return false;
	b->unit->nr_irtes += !e->lo;
	b->unit->nr_irtes -= !lo;
	store_release(&e->lo, lo);
	return true;
}

void iommu_irtes_set(const struct iommu_irtes *e, u32 i, u32 apic_id, u8 vector)
{
	struct iommu_unit *u = &iommu_units[e->unit];
	struct irte_block *b = block_of(e);
	u64 destination = u->eim ? FIELD_PREP(IRTE_DST, apic_id) :
				   FIELD_PREP(IRTE_DST_XAPIC, apic_id);

	BUG_ON(i >= IOMMU_IRTES);
	spin_lock(&u->irte_lock);
	if (change_entry(b, i,
			 (b->blocked ? 0 : IRTE_P) | FIELD_PREP(IRTE_VECTOR, vector) | destination))
		invalidate_block(b, BIT(i));
	spin_unlock(&u->irte_lock);
}

void iommu_irtes_block(const struct iommu_irtes *e, bool blocked)
{
	struct iommu_unit *u = &iommu_units[e->unit];
	struct irte_block *b = block_of(e);
	u64 changed = 0;

	spin_lock(&u->irte_lock);
	b->blocked = blocked;
	for (u32 i = 0; i < IOMMU_IRTES; i++) {
		u64 lo = b->entries[i].lo;

		if (lo && change_entry(b, i, blocked ? lo & ~IRTE_P : lo | IRTE_P))
			changed |= BIT(i);
	}
	if (changed)
		invalidate_block(b, changed);
	spin_unlock(&u->irte_lock);
}

void iommu_irtes_free(struct iommu_irtes *e, void (*done)(void *arg), void *arg)
{
	struct iommu_unit *u = &iommu_units[e->unit];
	struct irte_block *b = block_of(e);

	spin_lock(&u->irte_lock);
	b->in_force = NULL;
	b->freed = done;
	b->freed_arg = arg;
	b->freeing = true;
	for (u32 i = 0; i < IOMMU_IRTES; i++)
		(void)change_entry(b, i, 0);
	invalidate_block(b, ~0UL);
	spin_unlock(&u->irte_lock);
	e->valid = false;
}

void iommu_irtes_message(const struct iommu_irtes *e, u32 i, u64 *address, u32 *data)
{
	u32 index = e->first + i;

	/* No subhandle (SHV = 0): the data says nothing. */
	*address = MSI_ADDRESS | MSI_FORMAT_REMAPPABLE | FIELD_PREP(MSI_HANDLE_LO, index) |
		   FIELD_PREP(MSI_HANDLE_HI, index >> 15);
	*data = 0;
}
