/* Registers and bits: PC16550D data sheet, table II. */
#include <kernel/core/uart.h>

#include <kernel/lib/atomic.h>
#include <kernel/x86/io.h>

enum uart_register {
	UART_DATA = 0, /* divisor, low, while DLAB */
	UART_IER = 1, /* divisor, high, while DLAB */
	UART_FCR = 2,
	UART_LCR = 3,
	UART_MCR = 4,
	UART_LSR = 5,
	UART_SCR = 7,
};

#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define FCR_ENABLE_AND_CLEAR 0x07
#define MCR_DTR_RTS 0x03
#define LSR_DR 0x01
#define LSR_THRE 0x20
#define FIFO_DEPTH 16

/* 115200 baud sends a FIFO in 1.4 ms; each look at the port takes about 1 us on real hardware. */
#define ROOM_POLLS 100000

bool uart_init(u16 port)
{
	outb(port + UART_SCR, 0x5a);
	if (inb(port + UART_SCR) != 0x5a)
		return false;
	outb(port + UART_IER, 0);
	outb(port + UART_LCR, LCR_DLAB);
	outb(port + UART_DATA, 1);
	outb(port + UART_IER, 0);
	outb(port + UART_LCR, LCR_8N1);
	outb(port + UART_FCR, FCR_ENABLE_AND_CLEAR);
	outb(port + UART_MCR, MCR_DTR_RTS);
	return inb(port + UART_LSR) != 0xff;
}

void uart_write(u16 port, const char *text, size_t len)
{
	size_t room = 0;

	for (size_t i = 0; i < len; i++) {
		if (!room) {
			for (u32 n = 0; n < ROOM_POLLS && !(inb(port + UART_LSR) & LSR_THRE); n++)
				cpu_relax();
			room = FIFO_DEPTH;
		}
		outb(port + UART_DATA, (u8)text[i]);
		room--;
	}
}

bool uart_read(u16 port, u8 *byte)
{
	if (!(inb(port + UART_LSR) & LSR_DR))
		return false;
	*byte = inb(port + UART_DATA);
	return true;
}
