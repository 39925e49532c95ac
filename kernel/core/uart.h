/* 16550 UART. Nothing here waits. */
#pragma once

#include <kernel/lib/compiler.h>

#define UART_COM1 0x3f8
#define UART_COM2 0x2f8
#define UART_COM3 0x3e8
#define UART_COM4 0x2e8

#define UART_FIFO_DEPTH 16

/* Set it up for 115200 baud, 8N1, FIFO on. False if nothing answers at this port. */
bool uart_init(u16 port) __must_check;
/* True: everything has left the FIFO, and it takes UART_FIFO_DEPTH bytes. */
bool uart_empty(u16 port) __must_check;
/* Put bytes into the FIFO, which must have room for them. */
void uart_put(u16 port, const char *text, size_t len);
/* The next byte that was received. False: there is none. */
bool uart_read(u16 port, u8 *byte) __must_check;
