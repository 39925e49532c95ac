/* The hypervisor's own address space.
 *
 *   0xffff800000000000  direct map of all RAM (1G/2M pages, RW, no execute)
 *   0xffffa00000000000  MMIO windows (uncached, 4K pages), given out by mmio_map()
 *   0xffffffff80000000  the image, linked there, loaded at 1 MiB: text RX, rodata R, data RW
 */
#pragma once

#include <kernel/compiler.h>

#define DIRECT_MAP_BASE 0xffff800000000000UL
#define MMIO_BASE 0xffffa00000000000UL
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

/* Map device registers, uncached; pa and size in bytes, any alignment. NULL when the window or memory is used up. Such
 * windows live for ever. Boot or any context that may allocate. */
volatile void *mmio_map(paddr_t pa, size_t size) __must_check;
