/* Walks a guest's own page tables in software (SDM vol. 3, chapter 4). */
#include <kernel/guest/emulate/guestwalk.h>

#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/errno.h>
#include <kernel/x86/control.h>
#include <kernel/x86/exceptions.h>
#include <kernel/x86/pagetable.h>

/* Each format has a copy of the walk of its own, in which these are constants. */
struct format {
	unsigned int levels, index_bits, entry_size;
	bool pae; /* three levels; the top level has no permission bits */
};
#define TWO_LEVELS ((struct format){ 2, 10, 4, false })
#define PAE ((struct format){ 3, 9, 8, true })
#define FOUR_LEVELS ((struct format){ 4, 9, 8, false })
#define FIVE_LEVELS ((struct format){ 5, 9, 8, false })

/* One step of a walk: the entry that was read, kept to set its accessed and dirty bits. */
struct walk_entry {
	void *at;
	u64 entry;
};

static __always_inline bool is_page(const struct vcpu_mode *m, const struct format f,
				    unsigned int level, u64 e)
{
	if (level == 1)
		return true;
	if (!(e & PTE_PS))
		return false;
	if (f.entry_size == 4)
		return m->cr4 & CR4_PSE;
	return level == 2 || (level == 3 && !f.pae);
}

static __always_inline bool reserved_bits(const struct vcpu_mode *m, const struct format f,
					  unsigned int level, u64 entry, bool page)
{
	unsigned int shift = 12 + (level - 1) * f.index_bits;

	if (f.entry_size == 4) /* table 4-4: PSE-36 with 40 bits */
		return page && level == 2 && (entry & BIT(21));
	if (!(m->efer & EFER_NXE) && (entry & PTE_NX))
		return true;
	if (f.pae && level == 3)
		return entry & (MASK(63, 52) | MASK(8, 5) | MASK(2, 1)) &
		       ~emulator_sets_in_pae_top();
	if (f.pae && (entry & MASK(62, 52)))
		return true;
	if (page && level > 1)
		return entry & MASK(shift - 1, 13);
	return level >= 4 && (entry & PTE_PS);
}

static __always_inline gpaddr_t page_address(const struct format f, unsigned int level, u64 entry,
					     u64 linear)
{
	u64 offset = MASK(11 + (level - 1) * f.index_bits, 0);
	u64 base = entry & PTE_ADDRESS & ~offset;

	if (f.entry_size == 4 && level == 2)
		base = (entry & MASK(31, 22)) | FIELD_GET(MASK(20, 13), entry) << 32;
	return base | (linear & offset);
}

/* Check permissions (SDM vol. 3, 4.6). rights: the AND of all entries' W and U bits, the OR of
 * their NX bits. */
static bool allowed(const struct vcpu *v, const struct vcpu_mode *m, u32 access, u64 rights)
{
	bool user_page = rights & PTE_U;

	if ((access & WALK_FETCH) && (rights & PTE_NX))
		return false;
	if (access & WALK_USER)
		return user_page && (!(access & WALK_WRITE) || (rights & PTE_W));
	if ((access & WALK_FETCH) && user_page && (m->cr4 & CR4_SMEP))
		return false;
	if (!(access & WALK_FETCH) && user_page && (m->cr4 & CR4_SMAP) && !(v->rflags & RFLAGS_AC))
		return false;
	return !(access & WALK_WRITE) || (rights & PTE_W) || !(m->cr0 & CR0_WP);
}

static u64 read_entry(const void *at, unsigned int size)
{
	return size == 8 ? read_once((const u64 *)at) : read_once((const u32 *)at);
}

static bool exchange_entry(void *at, unsigned int size, u64 expected, u64 desired)
{
	u32 low = (u32)expected;

	return size == 8 ? atomic_cmpxchg((u64 *)at, &expected, desired) :
			   atomic_cmpxchg((u32 *)at, &low, (u32)desired);
}

/* Set accessed and dirty bits. False: an entry has changed since it was read; walk again. */
static bool set_accessed_dirty(const struct format f, const struct walk_entry *entries,
			       unsigned int last, u32 access)
{
	for (unsigned int level = f.levels; level >= last; level--) {
		u64 entry = entries[level].entry, want = entry | PTE_A;

		if (f.pae && level == 3)
			continue;
		if (level == last && (access & WALK_WRITE))
			want |= PTE_D;
		if (want != entry && !exchange_entry(entries[level].at, f.entry_size, entry, want))
			return false;
	}
	return true;
}

enum walk_result { WALK_DONE, WALK_FAULT, WALK_AGAIN };

static __always_inline enum walk_result walk_once(struct guest_view *g, const struct format f,
						  u64 linear, u32 access, gpaddr_t *gpa, u32 *error)
{
	const struct vcpu_mode *m = &g->mode;
	gpaddr_t table = f.pae		   ? m->cr3 & MASK(31, 5) :
			 f.entry_size == 4 ? m->cr3 & MASK(31, 12) :
					     m->cr3 & PTE_ADDRESS;
	u64 rights = PTE_W | PTE_U, set = PTE_A;
	struct walk_entry entries[6];

	*error = (access & WALK_WRITE ? PF_WRITE : 0) | (access & WALK_USER ? PF_USER : 0);
	if ((access & WALK_FETCH) && ((m->efer & EFER_NXE) || (m->cr4 & CR4_SMEP)))
		*error |= PF_FETCH;

#pragma GCC unroll 5
	for (unsigned int level = f.levels; level; level--) {
		u64 index = linear >> (12 + (level - 1) * f.index_bits) & MASK(f.index_bits - 1, 0);
		u64 entry;
		bool page;

		if (f.pae && level == 3)
			index &= 3;
		/* Where there is no RAM, a table reads as all ones: a present entry with reserved
		 * bits set. */
		entries[level].at = guest_ram_at(&g->v->ram, table + index * f.entry_size);
		if (!entries[level].at) {
			*error |= PF_PRESENT | PF_RESERVED;
			return WALK_FAULT;
		}
		entry = read_entry(entries[level].at, f.entry_size);
		entries[level].entry = entry;
		if (!(entry & PTE_P))
			return WALK_FAULT;
		page = is_page(m, f, level, entry);
		if (reserved_bits(m, f, level, entry, page)) {
			*error |= PF_PRESENT | PF_RESERVED;
			return WALK_FAULT;
		}
		if (!f.pae || level < 3) {
			rights = (rights & (entry | PTE_NX)) |
				 (f.entry_size == 8 ? entry & PTE_NX : 0);
			set &= entry;
		}
		if (page) {
			if (!allowed(g->v, m, access, rights)) {
				*error |= PF_PRESENT;
				return WALK_FAULT;
			}
			*gpa = page_address(f, level, entry, linear);
			/* Mostly they are set already. */
			if (set && (!(access & WALK_WRITE) || (entry & PTE_D)))
				return WALK_DONE;
			return set_accessed_dirty(f, entries, level, access) ? WALK_DONE :
									       WALK_AGAIN;
		}
		table = entry & PTE_ADDRESS & (f.entry_size == 4 ? 0xffffffff : ~0UL);
	}
	__builtin_unreachable(); /* level 1 is always a page */
}

static enum walk_result walk(struct guest_view *g, u64 linear, u32 access, gpaddr_t *gpa,
			     u32 *error)
{
	if (!(g->mode.efer & EFER_LMA))
		return g->mode.cr4 & CR4_PAE ? walk_once(g, PAE, linear, access, gpa, error) :
					       walk_once(g, TWO_LEVELS, linear, access, gpa, error);
	if (g->mode.cr4 & CR4_LA57)
		return walk_once(g, FIVE_LEVELS, linear, access, gpa, error);
	return walk_once(g, FOUR_LEVELS, linear, access, gpa, error);
}

/* Mostly each entry of a walk of four levels is there, has been accessed before, and allows the
 * access. So first look at all of them together. False: guest_walk() must look at each of them;
 * so far nothing has been done. */
static __always_inline bool walk_quickly(struct guest_view *g, u64 linear, u32 access,
					 gpaddr_t *gpa)
{
	const struct vcpu_mode *m = &g->mode;
	u64 all = ~0UL, any = 0, e = 0, need = PTE_P | PTE_A, offset;
	gpaddr_t table = m->cr3 & PTE_ADDRESS;
	unsigned int shift;

	if (!(m->efer & EFER_LMA) || (m->cr4 & CR4_LA57))
		return false;
#pragma GCC unroll 4
	for (unsigned int level = 4; level; level--) {
		const u64 *at;

		shift = 3 + 9 * level;
		at = guest_ram_at(&g->v->ram, table + (linear >> shift & 511) * 8);
		if (!at)
			return false;
		e = read_once(at);
		all &= e;
		any |= e;
		if (level == 1 || (e & PTE_PS))
			break;
		table = e & PTE_ADDRESS;
	}
	offset = BIT(shift) - 1;
	if (shift == 39 || (shift > 12 && (e & offset & ~MASK(12, 0))))
		return false;
	if (access & WALK_USER)
		need |= PTE_U;
	else if ((all & PTE_U) && (m->cr4 & (CR4_SMEP | CR4_SMAP)))
		return false;
	if (access & WALK_WRITE)
		need |= PTE_W;
	if ((any & PTE_NX) && ((access & WALK_FETCH) || !(m->efer & EFER_NXE)))
		return false;
	*gpa = (e & PTE_ADDRESS & ~offset) | (linear & offset);
	return (all & need) == need && (!(access & WALK_WRITE) || (e & PTE_D));
}

/* If the guest keeps changing its tables during the walk, it gets a page fault, after which it can
 * try again. */
#define WALK_TRIES 8

static __noinline int walk_exactly(struct guest_view *g, u64 linear, u32 access, gpaddr_t *gpa,
				   u32 *error)
{
	for (unsigned int i = 0; i < WALK_TRIES; i++) {
		switch (walk(g, linear, access, gpa, error)) {
		case WALK_DONE:
			return 0;
		case WALK_FAULT:
			return -EFAULT;
		case WALK_AGAIN:
			break;
		}
	}
	return -EFAULT;
}

int guest_walk(struct guest_view *g, u64 linear, u32 access, gpaddr_t *gpa, u32 *error)
{
	if (!(g->mode.cr0 & CR0_PG)) {
		*gpa = (u32)linear;
		return 0;
	}
	if (walk_quickly(g, linear, access, gpa))
		return 0;
	return walk_exactly(g, linear, access, gpa, error);
}
