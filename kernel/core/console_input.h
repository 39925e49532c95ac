/* Polls the console for input. */
#pragma once

#include <kernel/lib/compiler.h>

/* From now on pass each character that is typed to `receive`; `room` returns how many it can take
 * now. A timer of this CPU calls both. Does nothing if there is no UART. Boot, once. */
void console_input_start(size_t (*room)(void), void (*receive)(u8 c));
