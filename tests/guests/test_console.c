/* A guest with a dialogue on COM1: it answers a line with the same line reversed, or carries out a
 * command. It sleeps until an event reports input. */
#include <tests/guests/guest.h>

#include <kernel/abi/hypercall.h>

#define COM1 0x3f8
#define LSR_DR 1u
#define LSR_THRE 0x20u
#define VECTOR 0x9a

/* Waits for the transmitter, as a driver must; print() does not. */
static void put(char c)
{
	while (!(inb(COM1 + 5) & LSR_THRE))
		cpu_relax();
	outb(COM1, (u8)c);
}

static void say(const char *text)
{
	for (; *text; text++)
		put(*text);
}

static char get(void)
{
	for (;;) {
		interrupts_off();
		if (inb(COM1 + 5) & LSR_DR)
			return (char)inb(COM1);
		halt_until_interrupt();
		(void)hypercall(WEIR_HC_EVENTS, 0, 0, 0);
	}
}

static bool same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

static void say_numbers(u32 first, u32 last)
{
	for (u32 n = first; n <= last; n++) {
		char digits[] = "number 00000\n";

		for (u32 i = 11, rest = n; i >= 7; i--, rest /= 10)
			digits[i] = (char)('0' + rest % 10);
		say(digits);
	}
}

static void answer(const char *line, u32 len)
{
	if (same(line, "numbers")) {
		say_numbers(1, 3000);
	} else if (same(line, "sequences")) {
		say("\033[1;31mred\033[0m \033[6n\033]0;title\007\033c\033[21t\033P1\033\\ end\n");
	} else if (same(line, "later")) {
		spin_us(1500000);
		say("this is later\n");
	} else if (same(line, "again")) {
		outb(0x602, 1);
	} else if (same(line, "quit")) {
		hypercall(WEIR_HC_SHUTDOWN, 0, 0, 0);
	} else {
		while (len)
			put(line[--len]);
		put('\n');
	}
}

void test_console(void)
{
	CHECK_EQ("console: an event's vector", hypercall(WEIR_HC_EVENT_VECTOR, VECTOR, 0, 0), 0);
	say("console: ready\n");
	for (;;) {
		char line[80], c;
		u32 len = 0;

		say("\033[1m?\033[0m ");
		while ((c = get()) != '\r')
			if (len + 1 < sizeof(line))
				line[len++] = c;
		line[len] = 0;
		put('\n');
		answer(line, len);
	}
}
