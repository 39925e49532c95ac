/* Where the log's lines go besides memory; see kernel/log.c. */
#pragma once

#include <kernel/compiler.h>

/* Send the log to the UART at this I/O port; 0 or a port where nothing answers: to memory only. */
void console_set(u16 port);
/* From now on lines go out without the lock, whose holder may be dead. Panic only. */
void console_panic(void);
/* Copy lines out of the memory ring from *position (bytes since boot) on, at most `size` bytes;
 * moves *position, past what has been overwritten if need be. Returns the bytes copied. */
size_t log_copy(u64 *position, char *buf, size_t size);
