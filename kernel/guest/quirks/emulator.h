/* Workarounds for one emulator: QEMU 10.0 without KVM (TCG), in which Weir is tested. The comment
 * of each function says what the emulator gets wrong. On hardware, emulated() is false and none of
 * them has any effect.
 *
 * kernel/guest/quirks/noassists.h has the substitutes for features that only old processors
 * lack. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>
#include <kernel/x86/pagetable.h>

/* CPUID reports a hypervisor below Weir (leaf 1, ECX[31]). Set at boot, never changed. */
extern bool emulator_found;
/* Set emulator_found. Boot, before the first vCPU is created. */
void emulator_detect(void);

static inline bool emulated(void)
{
	return unlikely(emulator_found);
}

/* If a guest writes CR8 while an interrupt is offered in V_IRQ, the emulator raises
 * CPU_INTERRUPT_VIRQ without holding the required lock, fails the assertion bql_locked() and
 * terminates. An exit at each such write avoids that. `offered`: the vector, or -1. */
static inline bool emulator_needs_cr8_exits(int offered)
{
	return emulated() && offered >= 0;
}

/* If an interrupt arrives just as the CPU enters a guest with V_IRQ set, the emulator may forget to
 * deliver it (helper_vmrun() changes interrupt_request without a lock). It then stays in the IRR
 * until another interrupt arrives. So, before the CPU halts: send the highest pending vector again,
 * which has no other effect. Interrupts are off. */
void emulator_send_pending_again(void);

/* The emulator's MOV to CR0 takes CR0.NW without CR0.CD, which hardware answers with #GP. VMRUN
 * then refuses the guest's state, after the emulator has written its own over it. Return words for
 * the log that say so; NULL on hardware. */
const char *emulator_refused_state(void);

/* The emulator sets an accessed bit in the entries of PAE paging's top level, too, where it is
 * reserved (SDM vol. 3, table 4-8). Returns the bits of such an entry that the guest may not have
 * set. */
static inline u64 emulator_sets_in_pae_top(void)
{
	return emulated() ? PTE_A : 0;
}

/* On hardware, XSAVE reports x87 in its initial state as not in use, and XRSTOR then has nothing to
 * load (SDM vol. 1, 13.6). The emulator always reports x87 as in use. When it loads x87 on another
 * CPU, it modifies flags of CPU 0 (cpu_clear_ignne()), and if CPU 0 is just entering or leaving a
 * guest, the emulator loses track of whether CPU 0 is in guest mode. So, after an XSAVE: if x87 is
 * in its initial state, mark it as not in use in the area's header. */
void emulator_note_initial_x87(void *xsave_area);
