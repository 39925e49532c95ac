/* QEMU's isa-debug-exit device (iobase=0x501): QEMU ends with the status (value << 1) | 1. */
#pragma once

#include <kernel/compiler.h>

#define DEBUG_EXIT_PANIC 0x11 /* status 35 */
#define DEBUG_EXIT_READY 0x10 /* status 33 */

/* Returns where there is no such device. */
void debug_exit(u8 value);
