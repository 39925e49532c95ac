/* See kernel/core/serial.h. A port whose FIFO was seen empty has room for a whole FIFO, whatever it
 * has sent since; so the status register is read once for 16 bytes. */
#include <kernel/core/serial.h>

#include <kernel/core/uart.h>

struct port {
	u16 io;
	bool slow; /* left out until its FIFO is empty */
	size_t room; /* bytes that it takes without a look at its status */
};

static const u16 all[] = { UART_COM1, UART_COM2, UART_COM3, UART_COM4 };
static struct port ports[ARRAY_SIZE(all)]; /* that exist, and are in use */
static u32 nr_ports;

static bool uses(u16 io)
{
	for (u32 i = 0; i < nr_ports; i++)
		if (ports[i].io == io)
			return true;
	return false;
}

static void use_all(void)
{
	for (u32 i = 0; i < ARRAY_SIZE(all); i++)
		if (uart_init(all[i]))
			ports[nr_ports++] = (struct port){ .io = all[i] };
}

bool serial_use(u16 port)
{
	/* Initialising the same UART again would lose what its FIFO still holds. */
	if (port && !uses(port) && !uart_init(port)) {
		if (!nr_ports)
			use_all();
		return false;
	}
	ports[0] = (struct port){ .io = port };
	nr_ports = port ? 1 : 0;
	return true;
}

bool serial_present(void)
{
	return nr_ports;
}

size_t serial_send(const char *text, size_t len)
{
	bool any = false;

	for (struct port *p = ports; p < ports + nr_ports; p++) {
		if (!p->room && uart_empty(p->io)) {
			p->room = UART_FIFO_DEPTH;
			p->slow = false;
		}
		if (p->slow)
			continue;
		len = MIN(len, p->room);
		any = true;
	}
	if (!any || !len)
		return 0;
	for (struct port *p = ports; p < ports + nr_ports; p++) {
		if (p->slow)
			continue;
		uart_put(p->io, text, len);
		p->room -= len;
	}
	return len;
}

void serial_leave_slow(void)
{
	for (struct port *p = ports; p < ports + nr_ports; p++)
		p->slow |= !p->room;
}

bool serial_all_slow(void)
{
	for (const struct port *p = ports; p < ports + nr_ports; p++)
		if (!p->slow)
			return false;
	return true;
}

bool serial_read(u8 *byte)
{
	for (u32 i = 0; i < nr_ports; i++)
		if (uart_read(ports[i].io, byte))
			return true;
	return false;
}
