/* The log and the control domain share the terminal:
 *
 *	weir> dev_                     the control domain's current line is at the bottom;
 *	[   12.345678] net0| ...       a line of the log erases it and is printed,
 *	weir> dev_                     and the current line is drawn again.
 */
#include <kernel/core/console.h>

#include <kernel/core/spinlock.h>
#include <kernel/core/uart.h>
#include <kernel/lib/string.h>

#define LINE_SIZE 160
#define ESCAPE 0x1b
#define DELETE 0x7f
#define ERASE_LINE "\r\033[K" /* ECMA-48, 8.3.41 */

/* Guards all below, except in a panic. */
static struct spinlock console_lock = SPINLOCK_INIT(LOCK_CONSOLE);
static u16 ports[4]; /* that exist, and are in use */
static u32 nr_ports;
static char line[LINE_SIZE]; /* the control domain's current line */
static size_t line_len, line_cursor;

static bool panicking;

static bool uses(u16 port)
{
	for (u32 i = 0; i < nr_ports; i++)
		if (ports[i] == port)
			return true;
	return false;
}

/* COM1 to COM4, of which a machine may have any. */
static void use_all(void)
{
	static const u16 all[] = { UART_COM1, UART_COM2, UART_COM3, UART_COM4 };

	_Static_assert(ARRAY_SIZE(all) == ARRAY_SIZE(ports), "room for all");
	for (u32 i = 0; i < ARRAY_SIZE(all); i++)
		if (uart_init(all[i]))
			ports[nr_ports++] = all[i];
}

bool console_set(u16 port)
{
	/* Initialising the same UART again would lose what its FIFO still holds. */
	if (port && !uses(port) && !uart_init(port)) {
		if (!nr_ports)
			use_all();
		return false;
	}
	ports[0] = port;
	nr_ports = port ? 1 : 0;
	return true;
}

void console_panic(void)
{
	panicking = true;
}

bool console_present(void)
{
	return nr_ports;
}

bool console_read(u8 *c)
{
	for (u32 i = 0; i < nr_ports; i++)
		if (uart_read(ports[i], c))
			return true;
	return false;
}

bool console_in_panic(void)
{
	return panicking;
}

static void console_send(const char *text, size_t len)
{
	for (u32 i = 0; i < nr_ports; i++)
		uart_write(ports[i], text, len);
}

static void redraw(void)
{
	assert_locked(&console_lock);
	console_send(line, line_len);
	for (size_t i = line_cursor; i < line_len; i++)
		console_send("\b", 1);
}

void console_line(const char *text, size_t len)
{
	if (!panicking)
		spin_lock(&console_lock);
	if (line_len)
		console_send(ERASE_LINE, sizeof(ERASE_LINE) - 1);
	console_send(text, len);
	if (line_len && !panicking)
		redraw();
	if (!panicking)
		spin_unlock(&console_lock);
}

/* Control sequences (ECMA-48, 5.4) move the cursor and set colours. */
static bool in_sequence(u8 c)
{
	static enum { NONE, INTRODUCER, BODY } state;
	bool inside = state != NONE || c == ESCAPE;

	if (c == ESCAPE)
		state = INTRODUCER;
	else if (state == INTRODUCER)
		state = c == '[' ? BODY : NONE;
	else if (state == BODY && c >= '@' && c <= '~')
		state = NONE;
	return inside;
}

/* Follow what the terminal's current line shows, as far as it is text. Control sequences are
 * ignored: if the control domain moves the cursor, its line may be drawn wrongly after a line of
 * the log. */
static void track(u8 c)
{
	assert_locked(&console_lock);
	if (in_sequence(c))
		return;
	switch (c) {
	case '\n':
		line_len = line_cursor = 0;
		return;
	case '\r':
		line_cursor = 0;
		return;
	case '\b':
		line_cursor -= line_cursor > 0;
		return;
	}
	if (c < ' ' || c == DELETE)
		return;
	if (line_cursor < LINE_SIZE)
		line[line_cursor++] = (char)c;
	line_len = MAX(line_len, line_cursor);
}

void console_put(u8 c)
{
	char out = (char)c;

	spin_lock(&console_lock);
	track(c);
	console_send(&out, 1);
	spin_unlock(&console_lock);
}

void console_end_line(void)
{
	spin_lock(&console_lock);
	if (line_len)
		console_send("\r\n", 2);
	line_len = line_cursor = 0;
	spin_unlock(&console_lock);
}
