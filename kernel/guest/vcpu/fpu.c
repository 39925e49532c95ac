#include <kernel/guest/vcpu/fpu.h>

#include <kernel/mm/alloc.h>
#include <kernel/lib/errno.h>
#include <kernel/guest/vcpu/policy.h>
#include <kernel/lib/string.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/x86/control.h>

/* SDM vol. 1, 13.4: the legacy region's reset values, and where the header starts. */
#define FCW_RESET 0x037f
#define MXCSR_RESET 0x1f80
#define MXCSR_OFFSET 24
#define ST_OFFSET 32
#define ST_SIZE 128
#define XSTATE_BV_OFFSET 512

static bool has_xsave(void)
{
	return read_cr4() & CR4_OSXSAVE;
}

int fpu_create(struct vcpu *v)
{
	_Static_assert(PAGE_SIZE >= 512 + 64 + 256, "x87, SSE and AVX fit into a page");
	v->fpu = alloc_page();
	return v->fpu ? 0 : -ENOMEM;
}

void fpu_reset(struct vcpu *v)
{
	memset(v->fpu, 0, PAGE_SIZE);
	*(u16 *)v->fpu = FCW_RESET;
	*(u32 *)((char *)v->fpu + MXCSR_OFFSET) = MXCSR_RESET;
	v->xcr0 = XCR0_X87;
}

void fpu_destroy(struct vcpu *v)
{
	if (v->fpu)
		free_page(v->fpu);
	v->fpu = NULL;
}

/* A processor's XSAVE says of x87 in its initial state that it is not in use, and XRSTOR then has nothing to load (SDM vol. 1,
 * 13.6). QEMU's always says that it is, and, as it loads it on another CPU, writes to flags of CPU 0's (10.0: cpu_clear_ignne()):
 * one that enters or leaves a guest just then forgets which of the two it did. */
static void note_initial_x87(struct vcpu *v)
{
	u64 *area = v->fpu, used = (area[0] ^ FCW_RESET) | area[1] | area[2];

	for (u32 i = ST_OFFSET / 8; i < (ST_OFFSET + ST_SIZE) / 8; i++)
		used |= area[i];
	if (!used)
		area[XSTATE_BV_OFFSET / 8] &= ~XCR0_X87;
}

void fpu_switch(struct vcpu *from, struct vcpu *to)
{
	if (!has_xsave()) {
		if (from)
			__asm__ volatile("fxsave64 (%0)" ::"r"(from->fpu) : "memory");
		__asm__ volatile("fxrstor64 (%0)" ::"r"(to->fpu) : "memory");
		return;
	}
	/* All that a guest may enable, whatever it has enabled now. */
	write_xcr0(policy_xcr0());
	if (from) {
		__asm__ volatile("xsave64 (%0)" ::"r"(from->fpu), "a"(~0u), "d"(~0u) : "memory");
		note_initial_x87(from);
	}
	/* A header of zeros loads the initial state, but MXCSR is always loaded from memory:
	 * 13.8.1. */
	__asm__ volatile("xrstor64 (%0)" ::"r"(to->fpu), "a"(~0u), "d"(~0u) : "memory");
	write_xcr0(to->xcr0);
}
