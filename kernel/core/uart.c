/* Registers and bits: PC16550D data sheet, table II. */
#include <kernel/core/uart.h>

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

bool uart_empty(u16 port)
{
	return inb(port + UART_LSR) & LSR_THRE;
}

void uart_put(u16 port, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		outb(port + UART_DATA, (u8)text[i]);
}

bool uart_read(u16 port, u8 *byte)
{
	if (!(inb(port + UART_LSR) & LSR_DR))
		return false;
	*byte = inb(port + UART_DATA);
	return true;
}
