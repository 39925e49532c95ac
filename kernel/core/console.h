/* The administrator's terminal: a UART that gets the log's lines, and carries the control domain's dialogue. See
 * kernel/core/console.c. */
#pragma once

#include <kernel/lib/compiler.h>

/* Send the log to the UART at this I/O port; 0 or a port where nothing answers: to memory only. */
void console_set(u16 port);
/* From now on lines go out without a lock, whose holder may be dead. Panic only. */
void console_panic(void);
bool console_in_panic(void);
/* A whole line of the log, its line end included. Any context. */
void console_line(const char *text, size_t len);
/* One character of the control domain's dialogue, which is shown before its line is complete. Any context. */
void console_put(u8 c);
/* The control domain ends in the middle of a line: leave it where it is. */
void console_end_line(void);
/* Hand what is typed to `receive`, one character a call; `room` says how many it can take now. Both are called from a timer
 * of this CPU, for ever. Boot, once; nothing happens if there is no UART. */
void console_listen(size_t (*room)(void), void (*receive)(u8 c));
