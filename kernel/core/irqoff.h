/* For debug images: how long each CPU runs with interrupts disabled.
 *
 * A stretch begins where interrupts become disabled (an exit from guest mode, the end of a window
 * or a halt, the entry of an interrupt handler) and ends where they are enabled again; guest mode
 * counts as enabled. The measure is the time-stamp counter, which counts instructions under QEMU's
 * `-icount shift=0`.
 *
 *	irqoff: CPU 0: 81234 counts at most, 60100 of them in release_step
 *	irqoff:   ended at irq_window+0x1c < work_run+0x97 < sched_enter+0x4d
 *	irqoff:   at most 60100 in release_step
 *	irqoff:   at most 43210 in svm_handle_exit
 *
 * A stretch has often left the code that took the time when it ends. So its parts are measured too:
 * each step of a work item or of background work, what follows an exit, each interrupt handler. */
#pragma once

#include <kernel/lib/compiler.h>

#if defined(WEIR_DEBUG) && !defined(WEIR_HOST)
/* Forget all stretches, and count from now on: when the first guest starts. Before that, nothing is
 * counted. */
void irqoff_start(void);
/* A stretch begins or ends on this CPU. */
void irqoff_begin(void);
void irqoff_end(void);
/* The part of the stretch that began with it or with the last call is the work of `function`. */
void irqoff_part(const void *function);
/* Log the longest stretch of each CPU. */
void irqoff_report(void);
#else
static inline void irqoff_start(void)
{
}
static inline void irqoff_begin(void)
{
}
static inline void irqoff_end(void)
{
}
static inline void irqoff_part(const void *function __unused)
{
}
static inline void irqoff_report(void)
{
}
#endif
