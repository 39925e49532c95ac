/* AMD's nested page table entries: the long-mode format, read as user accesses (APM 2, 15.25.5). */
#include <kernel/guest/vcpu/svm/npt.h>

#include <kernel/core/cpu.h>
#include <kernel/guest/memory/nested.h>

#define PTE_P BIT(0)
#define PTE_RW BIT(1)
#define PTE_US BIT(2)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_PS BIT(7)
#define PTE_NX BIT(63)

static u64 npt_table(paddr_t pa)
{
	return pa | PTE_P | PTE_RW | PTE_US;
}

static u64 npt_leaf(paddr_t pa, unsigned int level, u32 flags)
{
	u64 e = pa | PTE_P | PTE_US;

	if (level > 1)
		e |= PTE_PS;
	if (flags & NESTED_WRITE)
		e |= PTE_RW;
	if (!(flags & NESTED_EXEC))
		e |= PTE_NX;
	/* PWT | PCD selects PAT entry 3 of the host's reset value: uncached. */
	if (flags & NESTED_DEVICE)
		e |= PTE_PWT | PTE_PCD;
	return e;
}

static bool npt_present(u64 e)
{
	return e & PTE_P;
}

static bool npt_is_leaf(u64 e, unsigned int level)
{
	return level == 1 || (e & PTE_PS);
}

static u32 npt_flags(u64 e)
{
	return NESTED_READ | (e & PTE_RW ? NESTED_WRITE : 0) | (e & PTE_NX ? 0 : NESTED_EXEC) |
	       (e & PTE_PCD ? NESTED_DEVICE : 0);
}

static struct nested_format npt = {
	.table = npt_table,
	.leaf = npt_leaf,
	.present = npt_present,
	.is_leaf = npt_is_leaf,
	.flags = npt_flags,
};

void npt_init(void)
{
	npt.has_1g = cpuid(0x80000001, 0).edx & BIT(26);
	nested_format = &npt;
}
