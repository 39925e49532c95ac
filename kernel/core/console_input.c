/* The UART's FIFO (16 bytes) fills in 1.4 ms at 115200 baud. Slow polls are enough for typing; the
 * first character starts quick ones, which keep up with pasted text. */
#include <kernel/core/console_input.h>

#include <kernel/core/clock.h>
#include <kernel/core/console.h>

#define POLL_NS 15000000UL
#define QUICK_POLL_NS 1000000UL
#define QUICK_POLLS 100

static struct {
	size_t (*room)(void);
	void (*receive)(u8 c);
	u32 quick; /* polls left */
	struct timer timer;
} input;

static void poll_console(struct timer *t)
{
	size_t room = input.room();
	bool any = false;
	u8 c;

	/* Characters that do not fit stay in the UART's FIFO. */
	while (room && console_read(&c)) {
		input.receive(c);
		room--;
		any = true;
	}
	if (any)
		input.quick = QUICK_POLLS;
	else if (input.quick)
		input.quick--;
	timer_set(t, clock_ns() + (input.quick ? QUICK_POLL_NS : POLL_NS));
}

void console_input_start(size_t (*room)(void), void (*receive)(u8 c))
{
	if (!console_present())
		return;
	input.room = room;
	input.receive = receive;
	timer_init(&input.timer, poll_console);
	timer_set(&input.timer, clock_ns() + POLL_NS);
}
