/* Weir's own page tables: four levels, SDM vol. 3, 4.5.
 *
 *	PML4 --> PDPT --> PD --> PT --> 4 KiB
 *	           |       +----------> 2 MiB
 *	           +------------------> 1 GiB
 *
 * All CPUs use the same tables. While more than one CPU runs, entries are only added, so no
 * shoot-down is needed. The one entry that is removed, for the identity page, is used only by a CPU
 * that starts. */
#include <kernel/core/paging.h>

#include <kernel/core/image.h>
#include <kernel/core/panic.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/bootmem.h>
#include <kernel/mm/memmap.h>
#include <kernel/x86/control.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/pagetable.h>

#define RAM_FLAGS (PTE_W | PTE_NX)
#define MMIO_FLAGS (PTE_W | PTE_NX | PTE_UNCACHED)

#define LEVEL_SHIFT(level) (PAGE_SHIFT + 9 * (level)) /* 0: page table */
#define TOP_LEVEL 3

#define DIRECT_MAP_SIZE (MMIO_BASE - DIRECT_MAP_BASE)
_Static_assert(MEMMAP_MAX_FRAMES << PAGE_SHIFT <= DIRECT_MAP_SIZE, "all RAM has its place");
#define MMIO_SIZE (STACK_BASE - MMIO_BASE)
#define IMAGE_SIZE (1UL << 30)

/* Guards the tables and the two cursors. */
static struct spinlock paging_lock = SPINLOCK_INIT(LOCK_PAGING);
static u64 pml4[512] __aligned(PAGE_SIZE);
static bool allocator_up;
static bool have_1g;
/* The first MMIO page is phys_read()'s own window. */
static u64 mmio_next = MMIO_BASE + PAGE_SIZE;
static u64 stack_next = STACK_BASE;

#ifndef WEIR_HOST
paddr_t virt_to_phys(const void *va)
{
	u64 v = (u64)va;

	if (v >= IMAGE_BASE && v - IMAGE_BASE < IMAGE_SIZE)
		return v - IMAGE_BASE;
	if (v >= DIRECT_MAP_BASE && v - DIRECT_MAP_BASE < DIRECT_MAP_SIZE)
		return v - DIRECT_MAP_BASE;
	panic("virt_to_phys: %016lx is neither in the direct map nor in the image", v);
}
#endif

static u64 *table_of(u64 entry)
{
	return phys_to_virt(entry & PTE_ADDRESS);
}

/* The entry for va at *level; missing tables above it are allocated. NULL without memory. If a
 * larger page is already mapped there, *level is raised to its level. */
static u64 *entry_at(u64 va, u32 *level)
{
	u64 *table = pml4;

	for (u32 l = TOP_LEVEL;; l--) {
		u64 *e = &table[va >> LEVEL_SHIFT(l) & 511];

		if (l == *level || (*e & PTE_P && *e & PTE_PS)) {
			*level = l;
			return e;
		}
		if (!(*e & PTE_P)) {
			void *new = allocator_up ? alloc_page() : bootmem_pages(1);

			if (!new)
				return NULL;
			store_release(e, virt_to_phys(new) | PTE_P | PTE_W);
		}
		table = table_of(*e);
	}
}

/* Map [va, va + size) to pa with the largest pages up to `max_level`. Existing mappings stay as
 * they are. */
static int map_pages(u64 va, paddr_t pa, u64 size, u64 flags, u32 max_level)
{
	while (size) {
		u32 level = max_level;
		u64 *e;

		while (level && (!IS_ALIGNED(va | pa, 1UL << LEVEL_SHIFT(level)) ||
				 size < 1UL << LEVEL_SHIFT(level)))
			level--;
		e = entry_at(va, &level);
		if (!e)
			return -ENOMEM;
		/* An earlier, smaller range has made a table here: continue below it. */
		while (level && *e & PTE_P && !(*e & PTE_PS)) {
			level--;
			e = entry_at(va, &level);
			if (!e)
				return -ENOMEM;
		}
		if (!(*e & PTE_P))
			store_release(e, pa | flags | PTE_P | (level ? PTE_PS : 0));
		/* An existing mapping may be larger than what is left, or begin before va. */
		u64 step = (1UL << LEVEL_SHIFT(level)) - (va & ((1UL << LEVEL_SHIFT(level)) - 1));

		step = MIN(step, size);
		va += step;
		pa += step;
		size -= step;
	}
	return 0;
}

static void map_image(const u8 *start, const u8 *end, u64 flags)
{
	if (map_pages((u64)start, virt_to_phys(start), (u64)(end - start), flags, 0))
		BUG();
}

void paging_init(const struct rangeset *ram)
{
	have_1g = cpuid(0x80000001, 0).edx & CPUID80000001_EDX_PAGE1GB;

	/* First: what is mapped stays as it is, and larger pages are divided around it. */
	if (map_pages(DIRECT_MAP_BASE + virt_to_phys(_text_start), virt_to_phys(_text_start),
		      (u64)(_rodata_end - _text_start), PTE_NX, 0))
		BUG();
	rangeset_for_each(r, ram) {
		u64 start = r->first << PAGE_SHIFT, size = (r->last - r->first + 1) << PAGE_SHIFT;

		if (map_pages(DIRECT_MAP_BASE + start, start, size, RAM_FLAGS, have_1g ? 2 : 1))
			BUG();
	}
	map_image(_text_start, _text_end, 0);
	map_image(_rodata_start, _rodata_end, PTE_NX);
	map_image(_data_start, _image_end, PTE_NX | PTE_W);
	paging_flush();
}

void paging_guard(const u8 *guard)
{
	u32 level = 0;
	u64 *e = entry_at((u64)guard, &level);

	BUG_ON(!e || level || guard < _data_start || guard >= _image_end);
	write_once(e, 0);
	invlpg((u64)guard);
}

void paging_flush(void)
{
	write_cr3(paging_root());
}

void paging_use_allocator(void)
{
	allocator_up = true;
}

paddr_t paging_root(void)
{
	return virt_to_phys(pml4);
}

int paging_map_identity(paddr_t page)
{
	int r;

	spin_lock(&paging_lock);
	r = map_pages(page, page, PAGE_SIZE, 0, 0);
	spin_unlock(&paging_lock);
	return r;
}

void paging_unmap_identity(void)
{
	/* The three tables below stay allocated, so that it does not matter whether a CPU still
	 * walks them. */
	write_once(&pml4[0], 0);
	paging_flush();
}

volatile void *mmio_map(paddr_t pa, size_t size)
{
	paddr_t start = ALIGN_DOWN(pa, PAGE_SIZE);
	u64 length = ALIGN_UP(pa + size, PAGE_SIZE) - start, va;
	int r = -ENOMEM;

	spin_lock(&paging_lock);
	/* In a large window, most is mapped by pages of 2 MiB. */
	va = mmio_next;
	if (length >= 1UL << LEVEL_SHIFT(1))
		va = ALIGN_UP(va, 1UL << LEVEL_SHIFT(1)) + (start & ((1UL << LEVEL_SHIFT(1)) - 1));
	if (size && pa + size > pa && va < MMIO_BASE + MMIO_SIZE &&
	    length <= MMIO_BASE + MMIO_SIZE - va) {
		/* One page stays unmapped behind each window. */
		mmio_next = va + length + PAGE_SIZE;
		r = map_pages(va, start, length, MMIO_FLAGS, 1);
	}
	spin_unlock(&paging_lock);
	return r ? NULL : (volatile void *)(va + (pa - start));
}

void phys_read(paddr_t pa, void *buf, size_t len)
{
	u8 *out = buf;

	while (len) {
		size_t offset = pa & ~PAGE_MASK, n = MIN(len, PAGE_SIZE - offset);
		const u8 *from = phys_to_virt(pa);

		if (pa >= DIRECT_MAP_SIZE || !paging_mapped(from)) {
			u32 level = 0;
			u64 *e;

			spin_lock(&paging_lock);
			e = entry_at(MMIO_BASE, &level);
			spin_unlock(&paging_lock);
			BUG_ON(!e);
			*e = (pa & PTE_ADDRESS) | PTE_NX | PTE_UNCACHED | PTE_P;
			invlpg(MMIO_BASE);
			from = (const u8 *)MMIO_BASE + offset;
		}
		memcpy(out, from, n);
		out += n;
		pa += n;
		len -= n;
	}
}

void *paging_map_stack(u32 nr_pages)
{
	u64 va = 0;

	spin_lock(&paging_lock);
	for (u32 i = 0; i < nr_pages; i++) {
		void *page = alloc_page();

		if (!page || map_pages(stack_next + (i + 1) * PAGE_SIZE, virt_to_phys(page),
				       PAGE_SIZE, RAM_FLAGS, 0))
			goto out;
	}
	va = stack_next + (nr_pages + 1) * PAGE_SIZE;
	stack_next = va;
out:
	spin_unlock(&paging_lock);
	return (void *)va;
}

bool paging_is_stack_guard(const void *p)
{
	u64 va = (u64)p;

	/* Nothing else there is unmapped. */
	if ((va < STACK_BASE || va >= stack_next) &&
	    (va < (u64)_data_start || va >= (u64)_image_end))
		return false;
	return !paging_mapped(p);
}

bool paging_mapped(const void *va)
{
	u64 v = (u64)va;
	const u64 *table;

	/* Not canonical: an access would fault in another way. */
	if ((s64)(v << 16) >> 16 != (s64)v)
		return false;
	table = phys_to_virt(read_cr3() & PTE_ADDRESS);
	for (u32 l = TOP_LEVEL;; l--) {
		u64 e = read_once(&table[v >> LEVEL_SHIFT(l) & 511]);

		if (!(e & PTE_P))
			return false;
		if (!l || (l < TOP_LEVEL && e & PTE_PS))
			return true;
		table = table_of(e);
	}
}
