/* The root table and the context tables of a unit (VT-d 9.1, 9.3): which requester uses whose
 * tables. */
#include <iommu/context.h>

#include <kernel/core/paging.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/frame.h>

/* The context table of a bus; with `grow`, it is made if there is none. It is never freed: there
 * are at most 256 per unit. */
static struct context_entry *context_table(struct iommu_unit *u, u8 bus, bool grow)
{
	struct root_entry *r = &u->root[bus];
	void *table;

	if (r->lo & ROOT_P)
		return phys_to_virt(r->lo & PAGE_MASK);
	if (!grow)
		return NULL;
	table = alloc_page();
	if (!table)
		return NULL;
	if (frame_set(virt_to_mfn(table), ORDER_4K, FRAME_IO_TABLE, OWNER_WEIR)) {
		free_page(table);
		return NULL;
	}
	unit_write_back(u, table, PAGE_SIZE);
	write_once(&r->lo, virt_to_phys(table) | ROOT_P);
	unit_write_back(u, r, sizeof(*r));
	return table;
}

int context_set(struct iommu_unit *u, u16 bdf, const struct iommu_domain *d, bool ats)
{
	u64 type = ats ? CONTEXT_TT_DEVICE_TLB : CONTEXT_TT_UNTRANSLATED;
	struct context_entry *e;

	spin_lock(&u->context_lock);
	e = context_table(u, (u8)(bdf >> 8), true);
	if (e) {
		e += bdf & 0xff;
		/* The walker must never see P with the other half unset. */
		e->hi = FIELD_PREP(CONTEXT_AW, iommu_common.levels - 2) |
			FIELD_PREP(CONTEXT_DID, d->did);
		unit_write_back(u, e, sizeof(*e));
		store_release(&e->lo, virt_to_phys(d->root) | type | CONTEXT_P);
		unit_write_back(u, e, sizeof(*e));
	}
	spin_unlock(&u->context_lock);
	return e ? 0 : -ENOMEM;
}

bool context_clear(struct iommu_unit *u, u16 bdf, bool quiet)
{
	struct context_entry *e;

	spin_lock(&u->context_lock);
	e = context_table(u, (u8)(bdf >> 8), quiet);
	if (e) {
		e += bdf & 0xff;
		store_release(&e->lo, quiet ? CONTEXT_FPD : 0UL);
		unit_write_back(u, e, sizeof(*e));
		/* The other half stays: who has just read this one as present must not find domain
		 * 0 there, which no flush would name. */
	}
	spin_unlock(&u->context_lock);
	return e;
}
