/* What exists for one emulator's sake: QEMU 10.0 without KVM (TCG), in which Weir is tested. Each
 * function says what the emulator gets wrong. On hardware emulated() is false, and nothing more is
 * done.
 *
 * What Weir does for want of a feature that all but old processors have is in
 * kernel/guest/quirks/noassists.h. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

/* CPUID says that a hypervisor is below (leaf 1, ECX[31]); set at boot, never changed. */
extern bool emulator_found;
/* Look for it; boot, before any vCPU is made. */
void emulator_detect(void);

static inline bool emulated(void)
{
	return unlikely(emulator_found);
}

/* A guest writes CR8 while an interrupt is offered in V_IRQ: the emulator raises CPU_INTERRUPT_VIRQ
 * without holding the lock that this needs (bql_locked()), fails the assertion and ends. An
 * exit at each such write avoids that. `offered`: the vector, or -1. */
static inline bool emulator_needs_cr8_exits(int offered)
{
	return emulated() && offered >= 0;
}

/* An interrupt arrives just as the CPU enters a guest with V_IRQ set: the emulator may forget that
 * it has to be taken (helper_vmrun() changes interrupt_request without a lock), and it stays in the
 * IRR until another one arrives. So, before the CPU halts: send what is pending on it once more,
 * which changes nothing else. Interrupts are off. */
void emulator_send_pending_again(void);

/* A processor's XSAVE reports x87 in its initial state as not in use, and XRSTOR then has nothing
 * to load (SDM vol. 1, 13.6). The emulator always reports it as in use and, when it loads it on
 * another CPU, writes to flags of CPU 0 (cpu_clear_ignne()): if that CPU is just entering or
 * leaving a guest, it loses track of which of the two it did. So, after an XSAVE: note in the
 * area's header whether x87 is in its initial state. */
void emulator_note_initial_x87(void *xsave_area);
