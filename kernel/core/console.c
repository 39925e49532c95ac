/* The log and the control domain share one line of the terminal:
 *
 *	weir> dev_                     what the control domain has written of its line stands at the bottom;
 *	[   12.345678] net0| ...       a line of the log erases it, is printed,
 *	weir> dev_                     and it is written again.
 */
#include <kernel/core/uart.h>
#include <kernel/core/clock.h>
#include <kernel/core/console.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/string.h>

#define LINE_SIZE 160
#define ESCAPE 0x1b
#define DELETE 0x7f
#define ERASE_LINE "\r\033[K" /* ECMA-48, 8.3.41 */

/* The UART's FIFO (16 bytes) fills in 1.4 ms at 115200 baud: a person's typing is seen by slow polls, and what is pasted by
 * quick ones, which the first character starts. */
#define POLL_NS 15000000UL
#define QUICK_POLL_NS 1000000UL
#define QUICK_POLLS 100

/* Guards all below; leaf, after the log's. */
static struct spinlock console_lock = SPINLOCK_INIT(LOCK_CONSOLE);
static u16 console_port;
static char line[LINE_SIZE]; /* the control domain's, as far as it is written */
static size_t line_len, line_cursor;

static bool panicking;

static struct {
	size_t (*room)(void);
	void (*receive)(u8 c);
	u32 quick; /* polls */
	struct timer timer;
} listener;

void console_set(u16 port)
{
	/* Setting it up again would drop what its FIFO still holds. */
	if (port != console_port)
		console_port = port && uart_init(port) ? port : 0;
}

void console_panic(void)
{
	panicking = true;
}

bool console_in_panic(void)
{
	return panicking;
}

static void send(const char *text, size_t len)
{
	if (console_port)
		uart_write(console_port, text, len);
}

static void redraw(void)
{
	assert_locked(&console_lock);
	send(line, line_len);
	for (size_t i = line_cursor; i < line_len; i++)
		send("\b", 1);
}

void console_line(const char *text, size_t len)
{
	if (!panicking)
		spin_lock(&console_lock);
	if (line_len)
		send(ERASE_LINE, sizeof(ERASE_LINE) - 1);
	send(text, len);
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

/* Keep up with what stands in the terminal's line, as far as that is text. What else the control domain sends is for its own
 * programs to make up for. */
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
	send(&out, 1);
	spin_unlock(&console_lock);
}

void console_end_line(void)
{
	spin_lock(&console_lock);
	if (line_len)
		send("\r\n", 2);
	line_len = line_cursor = 0;
	spin_unlock(&console_lock);
}

/* --- what is typed ----------------------------------------------------------------------------------------------------------- */

static void poll(struct timer *t)
{
	size_t room = listener.room();
	bool any = false;
	u8 c;

	/* What finds no room stays in the UART's FIFO. */
	while (room && uart_read(console_port, &c)) {
		listener.receive(c);
		room--;
		any = true;
	}
	if (any)
		listener.quick = QUICK_POLLS;
	else if (listener.quick)
		listener.quick--;
	timer_set(t, clock_ns() + (listener.quick ? QUICK_POLL_NS : POLL_NS));
}

void console_listen(size_t (*room)(void), void (*receive)(u8 c))
{
	if (!console_port)
		return;
	listener.room = room;
	listener.receive = receive;
	timer_init(&listener.timer, poll);
	timer_set(&listener.timer, clock_ns() + POLL_NS);
}
