/* The console: COM1, polled. */
#include <stdarg.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>
#include <kernel/x86/io.h>
#include "runtime.h"

#define COM1 0x3f8
#define UART_DLL 0
#define UART_DLM 1
#define UART_THR 0 /* RBR when read */
#define UART_IER 1
#define UART_FCR 2 /* IIR when read */
#define UART_LCR 3
#define UART_MCR 4
#define UART_LSR 5
#define LSR_DR BIT(0)
#define LSR_THRE BIT(5)
#define IIR_FIFO 0xc0
#define FIFO_BYTES 16

/* Bytes that the transmitter takes each time it is empty. In a domain, each read of LSR costs an
 * exit. */
static u32 burst, room;

void console_init(void)
{
	outb(COM1 + UART_IER, 0);
	outb(COM1 + UART_LCR, 0x80); /* DLAB */
	outb(COM1 + UART_DLL, 1); /* 115200 baud */
	outb(COM1 + UART_DLM, 0);
	outb(COM1 + UART_LCR, 0x03); /* 8n1 */
	outb(COM1 + UART_FCR, 0x07);
	outb(COM1 + UART_MCR, 0x03);
	burst = (inb(COM1 + UART_FCR) & IIR_FIFO) == IIR_FIFO ? FIFO_BYTES : 1;
}

static void put(char c)
{
	/* Bounded, so that a machine without the port does not hang. */
	for (unsigned int i = 0; !room && i < 100000 && !(inb(COM1 + UART_LSR) & LSR_THRE); i++)
		cpu_relax();
	if (!room)
		room = burst;
	room--;
	outb(COM1 + UART_THR, (u8)c);
}

int console_get(void)
{
	return inb(COM1 + UART_LSR) & LSR_DR ? inb(COM1 + UART_THR) : -1;
}

static void vprint(const char *fmt, va_list ap)
{
	char line[512];

	vsnprintf(line, sizeof(line), fmt, ap);
	for (const char *p = line; *p; p++) {
		if (*p == '\n')
			put('\r');
		put(*p);
	}
}

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprint(fmt, ap);
	va_end(ap);
}

void print_raw(const char *bytes, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		put(bytes[i]);
}

void fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	print("fatal: ");
	vprint(fmt, ap);
	print("\n");
	va_end(ap);
	shutdown(HOW_CRASHED, 1);
}
