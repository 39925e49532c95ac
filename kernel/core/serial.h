/* The serial ports that the console uses. All of them get the same bytes. Nothing here waits, and
 * nothing locks: see kernel/core/console.c. */
#pragma once

#include <kernel/lib/compiler.h>

/* Use the UART at this I/O port; 0: none. False if no UART answers there: what was used before is
 * kept, or, if nothing was, COM1 to COM4 are used, as far as they exist. */
bool serial_use(u16 port) __must_check;
/* True if there is a port in use. */
bool serial_present(void);
/* Send the first bytes of the text, as many as all ports have room for. Returns their number. */
size_t serial_send(const char *text, size_t len);
/* Go on without the ports that have no room now. One that sends again later is used again. */
void serial_leave_slow(void);
/* True if no port is left that sends. */
bool serial_all_slow(void);
/* The next byte that was received. False: there is none. */
bool serial_read(u8 *byte) __must_check;
