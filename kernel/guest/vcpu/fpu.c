/* The FPU, SSE and AVX state of vCPUs (SDM vol. 1, chapter 13). */
#include <kernel/guest/vcpu/fpu.h>

#include <kernel/guest/quirks/emulator.h>
#include <kernel/guest/vcpu/cpuid.h>
#include <kernel/guest/vcpu/vcpu.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/x86/control.h>

/* SDM vol. 1, 13.4: the legacy region's reset values. */
#define FCW_RESET 0x037f
#define MXCSR_RESET 0x1f80
#define MXCSR_OFFSET 24

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

void fpu_switch(struct vcpu *from, struct vcpu *to)
{
	/* All CPUs save a state in the same format, because it may be loaded on another one. */
	if (!policy_xcr0()) {
		if (from)
			__asm__ volatile("fxsave64 (%0)" ::"r"(from->fpu) : "memory");
		__asm__ volatile("fxrstor64 (%0)" ::"r"(to->fpu) : "memory");
		return;
	}
	/* Save and load every feature that a guest may enable, whichever it has enabled now. */
	write_xcr0(policy_xcr0());
	if (from) {
		__asm__ volatile("xsave64 (%0)" ::"r"(from->fpu), "a"(~0u), "d"(~0u) : "memory");
		if (emulated())
			emulator_note_initial_x87(from->fpu);
	}
	/* If the header is zero, XRSTOR loads the initial state, except for MXCSR, which always
	 * comes from memory (13.8.1). */
	__asm__ volatile("xrstor64 (%0)" ::"r"(to->fpu), "a"(~0u), "d"(~0u) : "memory");
	write_xcr0(to->xcr0);
}
