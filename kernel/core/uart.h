/* 16550 UART, polled. */
#pragma once

#include <kernel/lib/compiler.h>

#define UART_COM1 0x3f8
#define UART_COM2 0x2f8
#define UART_COM3 0x3e8
#define UART_COM4 0x2e8

/* Set it up for 115200 baud, 8N1, FIFO on. False if nothing answers at this port. */
bool uart_init(u16 port) __must_check;
/* Send. It waits for room, but only for a bounded time per byte, so that a UART that stops sending
 * cannot hang Weir. */
void uart_write(u16 port, const char *text, size_t len);
/* The next byte that was received. False: there is none. */
bool uart_read(u16 port, u8 *byte) __must_check;
