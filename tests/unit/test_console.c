/* The log and the control domain's dialogue on serial ports that are slow, stop, or are not there.
 * sources: kernel/core/console.c kernel/core/serial.c kernel/core/log.c
 */
#include "test.h"

#include <kernel/core/clock.h>
#include <kernel/core/console.h>
#include <kernel/core/log.h>
#include <kernel/core/uart.h>

static const u16 all[] = { UART_COM1, UART_COM2, UART_COM3, UART_COM4 };

static struct {
	bool present, set_up;
	bool stopped; /* sends nothing */
	bool endless; /* sends as fast as it is written to */
	u32 in_fifo;
	char sent[300000];
	size_t len;
} com[ARRAY_SIZE(all)];

static u64 now_ns;
static u32 nr_looks; /* at a status register */
static struct timer *armed;

static u32 index_of(u16 port)
{
	for (u32 i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i] == port)
			return i;
	fail_msg("port 0x%x", port);
	return 0;
}

bool uart_init(u16 port)
{
	u32 i = index_of(port);

	com[i].set_up |= com[i].present;
	return com[i].present;
}

bool uart_empty(u16 port)
{
	u32 i = index_of(port);

	nr_looks++;
	/* A look takes a microsecond, a byte 87 of them. */
	if (nr_looks % 1400 == 0 && !com[i].stopped)
		com[i].in_fifo = 0;
	return !com[i].in_fifo;
}

void uart_put(u16 port, const char *text, size_t len)
{
	u32 i = index_of(port);

	/* A port that was not set up may be anything. */
	assert_true(com[i].set_up);
	assert_true(com[i].in_fifo + len <= UART_FIFO_DEPTH);
	assert_true(com[i].len + len < sizeof(com[i].sent));
	memcpy(com[i].sent + com[i].len, text, len);
	com[i].len += len;
	if (!com[i].endless)
		com[i].in_fifo += (u32)len;
}

bool uart_read(u16 port, u8 *byte)
{
	*byte = (u8)index_of(port);
	return port == all[3];
}

u64 clock_ns(void)
{
	return now_ns;
}

void timer_init(struct timer *t, void (*fn)(struct timer *t))
{
	t->fn = fn;
	t->armed = false;
}

void timer_set(struct timer *t, u64 deadline_ns)
{
	assert_true(deadline_ns > now_ns);
	assert_null(armed);
	t->armed = true;
	t->deadline_ns = deadline_ns;
	armed = t;
}

/* --- which ports ---------------------------------------------------------- */

static void machine(u32 present)
{
	memset(com, 0, sizeof(com));
	for (u32 i = 0; i < ARRAY_SIZE(all); i++) {
		com[i].present = present >> i & 1;
		com[i].endless = true;
	}
}

/* The start, then the administrator's word. The result: the ports that a line goes to. */
static u32 ports_of(u32 present, u16 word, bool found)
{
	u32 written = 0;

	(void)console_set(0);
	machine(present);
	(void)console_set(UART_COM1);
	assert_int_equal(console_set(word), found);
	log_info("x");
	for (u32 i = 0; i < ARRAY_SIZE(all); i++)
		written |= (u32) !!com[i].len << i;
	assert_int_equal(console_present(), written != 0);
	return written;
}

static void ports(void **state)
{
	u8 c;

	(void)state;
	assert_int_equal(ports_of(1, UART_COM1, true), 1);
	assert_int_equal(ports_of(3, UART_COM1, true), 1);
	assert_int_equal(ports_of(3, UART_COM2, true), 2);
	/* There is no COM2: COM1 is kept. */
	assert_int_equal(ports_of(1, UART_COM2, false), 1);
	assert_false(com[1].set_up);
	/* There is no COM1. */
	assert_int_equal(ports_of(2, UART_COM1, false), 2);
	assert_int_equal(ports_of(2, UART_COM2, true), 2);
	assert_int_equal(ports_of(12, UART_COM1, false), 12);
	assert_int_equal(ports_of(12, UART_COM2, false), 12);
	assert_true(console_read(&c));
	assert_int_equal(c, 3);
	assert_int_equal(ports_of(0, UART_COM1, false), 0);
	assert_false(console_read(&c));
	assert_int_equal(ports_of(15, 0, true), 0);
}

/* --- slow ports ----------------------------------------------------------- */

/* All is sent; COM1 alone is used, and is as fast as hardware. */
static void slow_com1(void)
{
	if (armed) {
		com[0].endless = true;
		com[0].in_fifo = 0;
		while (armed) {
			struct timer *t = armed;

			armed = NULL;
			now_ns = t->deadline_ns;
			t->armed = false;
			t->fn(t);
		}
	}
	(void)console_set(0);
	machine(1);
	(void)console_set(UART_COM1);
	console_flush();
	machine(1);
	com[0].set_up = true;
	com[0].endless = false;
	nr_looks = 0;
}

/* Runs the timer once, if it is set, after the FIFO has been sent. */
static bool tick(void)
{
	struct timer *t = armed;

	if (!t)
		return false;
	armed = NULL;
	now_ns = t->deadline_ns;
	if (!com[0].stopped)
		com[0].in_fifo = 0;
	t->armed = false;
	t->fn(t);
	return true;
}

static bool was_sent(const char *text)
{
	return strstr(com[0].sent, text);
}

static void the_boot_waits_until_all_is_sent(void **state)
{
	(void)state;
	slow_com1();
	log_info("a line that is longer than the FIFO of a UART");
	assert_true(was_sent("a line that is longer than the FIFO of a UART\r\n"));
	assert_true(nr_looks > 1400);
	assert_null(armed);
	/* A UART that has stopped is waited for once. */
	com[0].stopped = true;
	log_info("nobody sees this line, which fills the FIFO");
	nr_looks = 0;
	log_info("or this one");
	assert_true(nr_looks < 10);
	com[0].stopped = false;
	com[0].in_fifo = 0;
	console_flush();
	assert_true(was_sent("this line, which fills the FIFO\r\n"));
	assert_true(was_sent("or this one\r\n"));
}

static void nobody_waits_later(void **state)
{
	char word[32];
	size_t before;

	(void)state;
	console_start();
	slow_com1();
	for (u32 i = 0; i < 200; i++) {
		before = com[0].len;
		log_info("line %u of a guest that logs as fast as it can", i);
		assert_true(com[0].len - before <= UART_FIFO_DEPTH);
	}
	assert_true(nr_looks < 400);
	assert_non_null(armed);
	do {
		before = com[0].len;
		nr_looks = 0;
		if (!tick())
			break;
		assert_true(com[0].len - before <= UART_FIFO_DEPTH);
		assert_true(nr_looks < 4);
	} while (true);
	/* Each line once, in order. */
	before = 0;
	for (u32 i = 0; i < 200; i++) {
		char *at;

		snprintf(word, sizeof(word), "line %u of", i);
		at = strstr(com[0].sent, word);
		assert_non_null(at);
		assert_true((size_t)(at - com[0].sent) >= before);
		before = (size_t)(at - com[0].sent);
		assert_null(strstr(at + 1, word));
	}
	assert_false(was_sent("not shown"));
}

static void a_fast_port_needs_no_timer(void **state)
{
	(void)state;
	slow_com1();
	com[0].endless = true;
	for (u32 i = 0; i < 100; i++)
		log_info("line %u", i);
	assert_true(was_sent("line 99\r\n"));
	assert_null(armed);
}

static void what_the_ring_loses_is_told(void **state)
{
	unsigned long lost;
	char *note;
	size_t shown = 0;

	(void)state;
	slow_com1();
	com[0].stopped = true;
	for (u32 i = 0; i < 2000; i++)
		log_info("line %04u, which stands for a kilobyte of words %0100d", i, 0);
	com[0].stopped = false;
	while (tick())
		;
	note = strstr(com[0].sent, "[ console: ");
	assert_non_null(note);
	assert_int_equal(sscanf(note, "[ console: %lu bytes of the log are not shown", &lost), 1);
	assert_true(was_sent("line 1999, "));
	for (char *at = com[0].sent; (at = strstr(at, "words")); at++)
		shown++;
	/* All lines are of one length. */
	assert_int_equal(lost % (lost / (2000 - shown)), 0);
	assert_true(shown > 300 && shown < 600);
}

static void a_stopped_port_holds_up_nobody(void **state)
{
	u32 nr = 0;

	(void)state;
	slow_com1();
	com[0].stopped = true;
	log_info("a line that does not fit into the FIFO");
	for (u32 i = 0; i < 2000; i++)
		console_put('x');
	assert_false(console_has_room());
	/* It is given up after a second, then looked at now and then. */
	for (u64 start = now_ns; now_ns - start < 10000000000UL; nr++)
		assert_true(tick());
	assert_true(nr > 1000 && nr < 1200);
	assert_true(console_has_room());
	com[0].stopped = false;
	while (tick())
		;
	assert_true(was_sent("does not fit into the FIFO\r\n"));
	console_end_line();
	while (tick())
		;

	/* The other port goes on. */
	machine(2);
	com[1].endless = true;
	com[0].present = com[0].stopped = true;
	com[0].endless = false;
	(void)console_set(0);
	(void)console_set(UART_COM3); /* there is none: all that exist */
	for (u32 i = 0; i < 20; i++)
		log_info("to both");
	while (now_ns < ~0UL && !strstr(com[1].sent, "to both\r\n"))
		assert_true(tick());
	slow_com1();
}

static void say(const char *text)
{
	while (*text)
		console_put((u8)*text++);
}

static void the_dialogue_is_drawn_again(void **state)
{
	(void)state;
	slow_com1();
	say("weir> dev");
	while (tick())
		;
	log_info("a line");
	say("ices");
	while (tick())
		;
	/* The log's line erased what was typed, and it was drawn again. */
	assert_true(was_sent("weir> dev\r\033[K["));
	assert_true(was_sent("a line\r\nweir> dev"));
	assert_true(was_sent("devices"));
	assert_true(console_has_room());
	console_end_line();
	console_end_line();
	while (tick())
		;
	assert_true(was_sent("devices\r\n"));
	assert_false(was_sent("devices\r\n\r\n"));
}

/* Both are busy: neither holds up the other. */
static void the_dialogue_and_the_log_take_turns(void **state)
{
	char *line, *word;

	(void)state;
	slow_com1();
	for (u32 i = 0; i < 100; i++)
		log_info("line %u", i);
	say("help\n");
	while (tick())
		;
	word = strstr(com[0].sent, "help");
	line = strstr(com[0].sent, "line 5\r");
	assert_true(word && line && word < line);
	for (u32 i = 0; i < 100; i++)
		say("word\n");
	log_info("soon");
	while (tick())
		;
	line = strstr(com[0].sent, "soon");
	word = com[0].sent + com[0].len - 100;
	assert_true(line && line < word);
}

static void a_panic_sends_what_is_left_first(void **state)
{
	char *line, *last;

	(void)state;
	slow_com1();
	for (u32 i = 0; i < 10; i++)
		log_info("line %u", i);
	assert_false(was_sent("line 9"));
	console_panic();
	log_err("panic on CPU 0: it was so");
	line = strstr(com[0].sent, "line 9\r\n");
	last = strstr(com[0].sent, "it was so\r\n");
	assert_true(line && last && line < last);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports),
		cmocka_unit_test(the_boot_waits_until_all_is_sent),
		cmocka_unit_test(nobody_waits_later),
		cmocka_unit_test(a_fast_port_needs_no_timer),
		cmocka_unit_test(what_the_ring_loses_is_told),
		cmocka_unit_test(a_stopped_port_holds_up_nobody),
		cmocka_unit_test(the_dialogue_is_drawn_again),
		cmocka_unit_test(the_dialogue_and_the_log_take_turns),
		cmocka_unit_test(a_panic_sends_what_is_left_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
