/* Which serial ports the log goes to, on machines that have any of them.
 * sources: kernel/core/console.c
 */
#include "test.h"

#include <kernel/core/console.h>
#include <kernel/core/uart.h>

static const u16 all[] = { UART_COM1, UART_COM2, UART_COM3, UART_COM4 };
static u32 present, set_up, written; /* bit i: all[i] */

static u32 bit_of(u16 port)
{
	for (u32 i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i] == port)
			return 1u << i;
	fail_msg("port 0x%x", port);
	return 0;
}

bool uart_init(u16 port)
{
	set_up |= present & bit_of(port);
	return present & bit_of(port);
}

void uart_write(u16 port, const char *text, size_t len)
{
	(void)text, (void)len;
	/* A port that was not set up may be anything. */
	assert_true(set_up & bit_of(port));
	written |= bit_of(port);
}

bool uart_read(u16 port, u8 *byte)
{
	*byte = (u8)bit_of(port);
	return port == all[3];
}

/* The start, then the administrator's word. The result: the ports that a line goes to. */
static u32 ports_of(u32 there, u16 word, bool found)
{
	(void)console_set(0);
	present = there;
	set_up = written = 0;
	(void)console_set(UART_COM1);
	assert_int_equal(console_set(word), found);
	console_line("x\r\n", 3);
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
	assert_int_equal(set_up, 1);
	/* There is no COM1. */
	assert_int_equal(ports_of(2, UART_COM1, false), 2);
	assert_int_equal(ports_of(2, UART_COM2, true), 2);
	assert_int_equal(ports_of(12, UART_COM1, false), 12);
	assert_int_equal(ports_of(12, UART_COM2, false), 12);
	assert_true(console_read(&c));
	assert_int_equal(c, 8);
	assert_int_equal(ports_of(0, UART_COM1, false), 0);
	assert_false(console_read(&c));
	assert_int_equal(ports_of(15, 0, true), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
