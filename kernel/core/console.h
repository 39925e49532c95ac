/* The administrator's terminal: serial ports that show the log's lines and the control domain's
 * dialogue. See kernel/core/console.c. */
#pragma once

#include <kernel/lib/compiler.h>

/* Show the log at the UART at this I/O port; 0: in memory only. False if no UART answers there: the
 * log goes on where it went before, or, if it went nowhere, to COM1 to COM4, as far as they exist.
 * Boot. */
bool console_set(u16 port);
/* Until now everything was sent before the caller went on. From now on nobody waits for a UART: a
 * timer sends the rest. Once, at the end of the boot. */
void console_start(void);
/* From now on everything is sent at once again, and without the lock, whose holder may never unlock
 * it. Panic only. */
void console_panic(void);
bool console_in_panic(void);
/* The log has a new line. Any context; locks up to LOCK_SCHED may be held. */
void console_update(void);
/* One character of the control domain's dialogue, which is shown before its line is complete. It
 * is lost if console_has_room() is false. As console_update(). */
void console_put(u8 c);
/* True if a whole UART's FIFO of characters fits, or if no port sends anyway. Any context. */
bool console_has_room(void);
/* The control domain has ended in the middle of a line: keep that line on the screen. As
 * console_update(). */
void console_end_line(void);
/* Send everything, or as much as the UARTs take within a bounded time: before the machine stops. */
void console_flush(void);
/* False: the log goes to memory only. */
bool console_present(void);
/* The next character that was typed. False: there is none, or no UART. kernel/core/console_input.c
 * only. */
bool console_read(u8 *c) __must_check;
