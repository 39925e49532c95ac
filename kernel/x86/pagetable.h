/* Page-table entries of the CPU. A bit has the same position at all levels that have it. SDM vol.
 * 3, tables 4-14 to 4-20. kernel/x86/constants.inc has the same constants for assembly. */
#pragma once

#include <kernel/lib/compiler.h>

#define PTE_P BIT(0) /* present */
#define PTE_W BIT(1) /* writable */
#define PTE_U BIT(2) /* user mode may access it too */
#define PTE_PWT BIT(3) /* selects a PAT entry together with PTE_PCD */
#define PTE_PCD BIT(4)
#define PTE_A BIT(5) /* accessed */
#define PTE_D BIT(6) /* dirty */
#define PTE_PS BIT(7) /* a 2 MiB or 1 GiB page, not a table */
#define PTE_NX BIT(63) /* no execute */
#define PTE_ADDRESS MASK(51, 12)

/* PAT entry 3, which the reset value makes UC; SDM vol. 3, 12.12. */
#define PTE_UNCACHED (PTE_PCD | PTE_PWT)

/* Invalidate this CPU's TLB entry for the page that contains the address. */
static inline void invlpg(u64 address)
{
	__asm__ volatile("invlpg (%0)" ::"r"(address) : "memory");
}
