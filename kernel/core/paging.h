/* The hypervisor's own address space.
 *
 *   0xffff800000000000  direct map of all RAM (1G/2M pages, no execute, RW; the image's text and
 *                       rodata R)
 *   0xffffa00000000000  MMIO windows (uncached, 4K pages), given out by mmio_map()
 *   0xffffb00000000000  stacks of the application processors, with an unmapped page below each
 *   0xffffffff80000000  the image, linked there, loaded at 1 MiB: text RX, rodata R, data RW
 */
#pragma once

#include <kernel/lib/compiler.h>

#define DIRECT_MAP_BASE 0xffff800000000000UL
#define MMIO_BASE 0xffffa00000000000UL
#define STACK_BASE 0xffffb00000000000UL
#define IMAGE_BASE 0xffffffff80000000UL

#ifdef WEIR_HOST
/* The host build maps "physical" memory wherever the test put it. */
void *phys_to_virt(paddr_t pa);
paddr_t virt_to_phys(const void *va);
#else
static inline void *phys_to_virt(paddr_t pa)
{
	return (void *)(DIRECT_MAP_BASE + pa);
}
/* Of a direct-map or image address. */
paddr_t virt_to_phys(const void *va);
#endif

static inline void *mfn_to_virt(mfn_t mfn)
{
	return phys_to_virt(mfn << PAGE_SHIFT);
}

static inline mfn_t virt_to_mfn(const void *va)
{
	return virt_to_phys(va) >> PAGE_SHIFT;
}

#ifdef WEIR_HOST
#define direct_map_phys virt_to_phys
#define direct_map_mfn virt_to_mfn
#else
/* The same for an address that is known to lie in the direct map. */
static inline paddr_t direct_map_phys(const void *va)
{
	return (u64)va - DIRECT_MAP_BASE;
}

static inline mfn_t direct_map_mfn(const void *va)
{
	return direct_map_phys(va) >> PAGE_SHIFT;
}
#endif

/* Map device registers, uncached; pa and size in bytes, any alignment. NULL when the window or
 * memory is used up. Windows are never unmapped. Boot, or any context that may allocate. */
volatile void *mmio_map(paddr_t pa, size_t size) __must_check;

/* Copy len bytes of physical memory, which need not be RAM (firmware tables often are not in RAM).
 * Boot, bootstrap processor. */
void phys_read(paddr_t pa, void *buf, size_t len);

struct rangeset;
/* Replace the tables of boot/entry.asm: direct map of all RAM (frame numbers), image with W^X.
 * Takes tables from bootmem_pages(). Bootstrap processor. */
void paging_init(const struct rangeset *ram);
/* Unmap the page of the image's data at `guard`, below a stack. Bootstrap processor, alone. */
void paging_guard(const u8 *guard);
/* From now on page tables are allocated by alloc_page(). */
void paging_use_allocator(void);
/* The root, for CR3; below 4 GiB. */
paddr_t paging_root(void);
/* Map one page of code at its own address (RX), for the start of the application processors; and
 * unmap it. Until then, it is writable in the direct map. */
int __must_check paging_map_identity(paddr_t page);
void paging_unmap_identity(void);
/* Flush this CPU's TLB: a CPU that has just started still has the identity page in it. */
void paging_flush(void);
/* A stack of nr_pages with an unmapped page below it; its top, or NULL without memory. */
void *paging_map_stack(u32 nr_pages) __must_check;
/* True if an access to va would hit an unmapped page below a stack. */
bool paging_is_stack_guard(const void *va);
/* True if va can be read. Any context; takes no lock. */
bool paging_mapped(const void *va);
