/* QEMU's isa-debug-exit device (iobase=0x501): QEMU ends with the status (value << 1) | 1. */
#pragma once

#include <kernel/lib/compiler.h>

enum debug_exit {
	DEBUG_EXIT_NEVER = 0,
	DEBUG_EXIT_READY = 0x10, /* Weir's own start is done: status 33 */
	DEBUG_EXIT_PANIC = 0x11, /* status 35 */
	DEBUG_EXIT_IDLE = 0x12, /* the last domain has ended: status 37 */
};

/* Returns where there is no such device. */
void debug_exit(enum debug_exit value);
/* Choose the moment at which debug_exit_when() ends QEMU (exit=ready, exit=idle). Boot. */
void debug_exit_choose(enum debug_exit value);
/* The same as debug_exit(), if this is the chosen moment. */
void debug_exit_when(enum debug_exit value);
