/* Panics are for broken invariants of Weir's own. A guest, a device or the firmware must never be
 * able to cause one. */
#pragma once

#include <kernel/lib/compiler.h>

/* Print message, registers, backtrace, last exits; stop all CPUs (and QEMU, where isa-debug-exit is
 * present). */
void panic(const char *fmt, ...) __printf(1, 2) __noreturn;
/* The same after a machine check, whose banks have been collected: not Weir has failed. */
void panic_hardware(void) __noreturn;
/* What panic() prints last, on the CPU that panicked: the last exits. Boot. */
void panic_set_hook(void (*print)(void));

#define BUG() panic("BUG at %s:%d", __FILE__, __LINE__)
#define BUG_ON(cond)                                                                               \
	do {                                                                                       \
		if (unlikely(cond))                                                                \
			panic("BUG at %s:%d: %s", __FILE__, __LINE__, #cond);                      \
	} while (0)
