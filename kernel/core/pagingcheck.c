/* See kernel/core/pagingcheck.h. */
#include <kernel/core/pagingcheck.h>

#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/lib/rangeset.h>
#include <kernel/x86/pagetable.h>

#define TOP_LEVEL 3
#define TABLE_ENTRIES 512

struct walk {
	struct rangeset executable; /* frames */
	struct range range[16];
	bool second; /* the time that writable frames are compared with these */
	u64 nr; /* mappings */
};

/* One mapping: what its tables permit is in `rights`. */
static bool look(struct walk *w, u64 entry, u64 rights, u32 level, u64 va)
{
	mfn_t mfn = (entry & PTE_ADDRESS) >> PAGE_SHIFT, nr = 1UL << (9 * level);

	mfn &= ~(nr - 1); /* the PAT bit of a large page */
	w->nr++;
	if (!w->second)
		return rights & PTE_NX || !rangeset_add(&w->executable, mfn, mfn + nr - 1);
	if (!(rights & PTE_W) || !rangeset_overlaps(&w->executable, mfn, mfn + nr - 1))
		return true;
	log_err("paging: frame 0x%lx can be executed, and written at %016lx", mfn, va);
	return false;
}

static bool walk_table(struct walk *w, const u64 *table, u32 level, u64 rights, u64 va)
{
	for (u32 i = 0; i < TABLE_ENTRIES; i++) {
		u64 e = table[i], both = (rights & (e | PTE_NX)) | (e & PTE_NX);
		u64 at = va | (u64)i << (PAGE_SHIFT + 9 * level);

		if (!(e & PTE_P))
			continue;
		if (level == TOP_LEVEL && i >= TABLE_ENTRIES / 2)
			at |= 0xffffUL << 48;
		if (level && !(e & PTE_PS) ?
			    !walk_table(w, phys_to_virt(e & PTE_ADDRESS), level - 1, both, at) :
			    !look(w, e, both, level, at))
			return false;
	}
	return true;
}

bool paging_check(void)
{
	struct walk w = { .nr = 0 };

	rangeset_init(&w.executable, "executable frames", w.range, ARRAY_SIZE(w.range));
	if (!walk_table(&w, phys_to_virt(paging_root()), TOP_LEVEL, PTE_W, 0)) {
		log_err("paging: executable frames are in more than %zu places",
			ARRAY_SIZE(w.range));
		return false;
	}
	w.second = true;
	w.nr = 0;
	if (!walk_table(&w, phys_to_virt(paging_root()), TOP_LEVEL, PTE_W, 0))
		return false;
	log_info("paging: %lu mappings checked: %lu frames can be executed, none of them written",
		 w.nr, rangeset_count(&w.executable));
	return true;
}
