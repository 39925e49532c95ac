/* AMD's nested page table entries: the long-mode format. The CPU treats all guest accesses as user
 * accesses (APM volume 2, 15.25.5). */
#include <kernel/guest/vcpu/svm/npt.h>

#include <kernel/core/cpu.h>
#include <kernel/guest/memory/nested.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/pagetable.h>

static u64 npt_table(paddr_t pa)
{
	return pa | PTE_P | PTE_W | PTE_U;
}

static u64 npt_leaf(paddr_t pa, unsigned int level, u32 flags)
{
	u64 e = pa | PTE_P | PTE_U;

	if (level > 1)
		e |= PTE_PS;
	if (flags & NESTED_WRITE)
		e |= PTE_W;
	if (!(flags & NESTED_EXEC))
		e |= PTE_NX;
	if (flags & NESTED_DEVICE)
		e |= PTE_UNCACHED;
	return e;
}

static u32 npt_flags(u64 e)
{
	return NESTED_READ | (e & PTE_W ? NESTED_WRITE : 0) | (e & PTE_NX ? 0 : NESTED_EXEC) |
	       (e & PTE_PCD ? NESTED_DEVICE : 0);
}

static struct nested_format npt = {
	.table = npt_table,
	.leaf = npt_leaf,
	.flags = npt_flags,
	.present = PTE_P,
	.superpage = PTE_PS,
	.device = PTE_PCD,
	.has_1g = true,
};

void npt_init(void)
{
	/* All CPUs must have it. */
	if (!(cpuid(0x80000001, 0).edx & CPUID80000001_EDX_PAGE1GB))
		npt.has_1g = false;
	nested_format = &npt;
}
