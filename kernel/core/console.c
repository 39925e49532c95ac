/* The log and the control domain share the terminal:
 *
 *	weir> dev_                     the control domain's current line is at the bottom;
 *	[   12.345678] net0| ...       a line of the log erases it and is printed,
 *	weir> dev_                     and the current line is drawn again.
 *
 * At 115200 baud a line takes some ten milliseconds. So nobody waits for it: the log's ring and the
 * dialogue hold what is not yet sent, one piece of it is made ready in `piece`, and a step sends as
 * much as the UARTs have room for. Each new line and character makes a step, and a timer makes the
 * others. What the log's ring overwrites before it was shown is counted and told. During the boot
 * and in a panic the steps follow each other until all is sent.
 */
#include <kernel/core/console.h>

#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/core/serial.h>
#include <kernel/core/spinlock.h>
#include <kernel/core/uart.h>
#include <kernel/lib/atomic.h>
#include <kernel/lib/string.h>

#define LINE_SIZE 160
#define DIALOGUE_SIZE 512
#define PIECE_SIZE 1024 /* a line of the log, twice the current line, and what is around them */
#define ESCAPE 0x1b
#define DELETE 0x7f
#define ERASE_LINE "\r\033[K" /* ECMA-48, 8.3.41 */
#define END_LINE 0 /* in the dialogue: end the current line if there is any */

/* A step ends here even if a UART takes more: an emulated one always does. */
#define STEP_BYTES 1024
#define STEP_NS 1000000UL /* 115200 baud sends 12 bytes in this time, and the FIFO holds 16 */
/* A UART that sends nothing for so long does not hold up the others, or the control domain. */
#define PATIENCE_NS 1000000000UL
#define SLOW_STEP_NS 100000000UL
/* The same while nothing but the UART is looked at: a look takes about 1 us on real hardware. */
#define PATIENCE_POLLS 100000

/* Guards all below, except in a panic. */
static struct spinlock console_lock = SPINLOCK_INIT(LOCK_CONSOLE);
static char line[LINE_SIZE]; /* the control domain's current line, as far as it is in `piece` */
static size_t line_len, line_cursor;
static struct {
	u8 text[DIALOGUE_SIZE];
	u32 written, taken; /* since boot */
} dialogue;
static u64 log_shown; /* bytes since boot */
static struct {
	char text[PIECE_SIZE];
	size_t len, sent;
} piece;
static bool log_is_next; /* the dialogue and the log take turns */

static struct timer timer;
static bool started; /* nobody waits */
static bool waiting; /* the last step left something */
static u64 sent_ns; /* when it last did not, or sent something */
static bool panicking;

bool console_set(u16 port)
{
	return serial_use(port);
}

bool console_present(void)
{
	return serial_present();
}

bool console_read(u8 *c)
{
	return serial_read(c);
}

void console_panic(void)
{
	panicking = true;
}

bool console_in_panic(void)
{
	return panicking;
}

static void lock(void)
{
	if (!panicking)
		spin_lock(&console_lock);
}

static void unlock(void)
{
	if (!panicking)
		spin_unlock(&console_lock);
}

static void assert_mine(void)
{
	if (!panicking)
		assert_locked(&console_lock);
}

/* --- pieces --------------------------------------------------------------- */

static void add(const char *text, size_t len)
{
	len = MIN(len, sizeof(piece.text) - piece.len);
	memcpy(piece.text + piece.len, text, len);
	piece.len += len;
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
	assert_mine();
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

static void add_dialogue(void)
{
	while (dialogue.taken != dialogue.written && piece.len < UART_FIFO_DEPTH) {
		u8 c = dialogue.text[dialogue.taken++ % DIALOGUE_SIZE];

		if (c != END_LINE) {
			track(c);
			add((const char *)&c, 1);
		} else if (line_len) {
			add("\r\n", 2);
			line_len = line_cursor = 0;
		}
	}
}

static void add_log_line(void)
{
	char text[LOG_LINE_SIZE], note[96];
	u64 lost;
	size_t len = log_next_line(&log_shown, text, &lost);

	if (!len)
		return;
	if (line_len)
		add(ERASE_LINE, sizeof(ERASE_LINE) - 1);
	if (lost) {
		int n = snprintf(note, sizeof(note),
				 "[ console: %lu bytes of the log are not shown: the serial line "
				 "is too slow ]\r\n",
				 lost);

		add(note, (size_t)n);
	}
	add(text, len);
	if (line_len && !panicking) {
		add(line, line_len);
		for (size_t i = line_cursor; i < line_len; i++)
			add("\b", 1);
	}
}

/* Make the next piece. False: nothing is left to send. */
static bool next_piece(void)
{
	assert_mine();
	piece.len = piece.sent = 0;
	if (!serial_present())
		return false;
	for (u32 turn = 0; turn < 2 && !piece.len; turn++) {
		if (log_is_next)
			add_log_line();
		else
			add_dialogue();
		log_is_next = !log_is_next;
	}
	return piece.len;
}

/* --- steps ---------------------------------------------------------------- */

static bool is_left(void)
{
	return piece.sent < piece.len || next_piece();
}

/* Send at most this many bytes, as far as there is room. Returns their number. */
static size_t send(size_t max)
{
	size_t done = 0;

	while (done < max && is_left()) {
		size_t len = MIN(piece.len - piece.sent, max - done);
		size_t n = serial_send(piece.text + piece.sent, len);

		if (!n)
			break;
		piece.sent += n;
		done += n;
	}
	return done;
}

/* Send everything, but for UARTs that take nothing any more. */
static void send_all(void)
{
	u32 polls = 0;

	while (is_left()) {
		if (send(UART_FIFO_DEPTH)) {
			polls = 0;
			continue;
		}
		if (serial_all_slow())
			return;
		if (++polls == PATIENCE_POLLS) {
			serial_leave_slow();
			polls = 0;
		}
		cpu_relax();
	}
}

static void step(void)
{
	size_t sent;
	u64 now;

	if (!started || panicking) {
		send_all();
		return;
	}
	sent = send(STEP_BYTES);
	if (!is_left()) {
		waiting = false;
		return;
	}
	now = clock_ns();
	if (sent || !waiting)
		sent_ns = now;
	waiting = true;
	if (now - sent_ns > PATIENCE_NS)
		serial_leave_slow();
	if (!read_once(&timer.armed))
		timer_set(&timer, now + (serial_all_slow() ? SLOW_STEP_NS : STEP_NS));
}

static void timed_step(struct timer *t __unused)
{
	console_update();
}

void console_start(void)
{
	timer_init(&timer, timed_step);
	started = true;
}

void console_update(void)
{
	lock();
	step();
	unlock();
}

void console_flush(void)
{
	lock();
	send_all();
	unlock();
}

/* --- the dialogue --------------------------------------------------------- */

static u32 room(void)
{
	return DIALOGUE_SIZE - (dialogue.written - dialogue.taken);
}

bool console_has_room(void)
{
	bool has;

	lock();
	has = room() >= UART_FIFO_DEPTH || serial_all_slow();
	unlock();
	return has;
}

static void put(u8 c)
{
	lock();
	if (room() && serial_present())
		dialogue.text[dialogue.written++ % DIALOGUE_SIZE] = c;
	step();
	unlock();
}

void console_put(u8 c)
{
	if (c != END_LINE)
		put(c);
}

void console_end_line(void)
{
	put(END_LINE);
}
