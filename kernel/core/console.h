/* The administrator's terminal: a UART that shows the log's lines and the control domain's
 * dialogue. See kernel/core/console.c. */
#pragma once

#include <kernel/lib/compiler.h>

/* Send the log to the UART at this I/O port; 0: to memory only. False if no UART answers there: the
 * log goes on where it went before, or, if it went nowhere, to COM1 to COM4, as far as they exist.
 * Boot. */
bool console_set(u16 port);
/* From now on lines are sent without the lock, whose holder may never unlock it. Panic only. */
void console_panic(void);
bool console_in_panic(void);
/* A whole line of the log, including its line end. Any context. */
void console_line(const char *text, size_t len);
/* One character of the control domain's dialogue, which is shown before its line is complete. Any
 * context. */
void console_put(u8 c);
/* The control domain has ended in the middle of a line: keep that line on the screen. */
void console_end_line(void);
/* False: the log goes to memory only. */
bool console_present(void);
/* The next character that was typed. False: there is none, or no UART. kernel/core/console_input.c
 * only. */
bool console_read(u8 *c) __must_check;
