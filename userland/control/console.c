/* Another domain's console on this one's: what it writes is shown, what is typed is its, up to the
 * key that comes back. */
#include <string.h>
#include "shell.h"

#define COMES_BACK 0x1d /* Ctrl-] */
#define ESCAPE 0x1b
#define DELETE 0x7f

/* A guest without an interrupt looks at its UART some hundred times a second. */
#define INPUT_RETRY_NS 4000000UL
/* That it has ended is not told, but seen. */
#define LOOK_NS 250000000UL

/* Input that the guest's UART had no room for. */
static struct {
	u8 key[256];
	u32 nr;
} waiting;

/* What a guest may do to the administrator's terminal: move its cursor, erase, set colours. That is
 * control sequences (ECMA-48) with one of these final bytes. Titles, reports and what else a
 * terminal can be told are for nobody who is not trusted with it. */
static bool may_end_sequence(u8 c)
{
	return strchr("ABCDEFGHJKLMPSTXZ`abdefghlmrs@", c) && c;
}

/* A sequence is held back until it is complete. */
static void show(u8 c)
{
	static enum { TEXT, INTRODUCER, BODY } state;
	static char sequence[32];
	static u32 len;
	static bool after_return;

	if (c == ESCAPE) {
		state = INTRODUCER;
		return;
	}
	if (state == INTRODUCER) {
		state = c == '[' ? BODY : TEXT;
		len = 0;
		return;
	}
	if (state == BODY) {
		if (c < ' ' || c >= DELETE || len + 1 == sizeof(sequence)) {
			state = TEXT;
		} else {
			sequence[len++] = (char)c;
			if (c < '@')
				return;
			state = TEXT;
			sequence[len] = 0;
			if (may_end_sequence(c))
				print("\033[%s", sequence);
			return;
		}
	}
	if (c == '\n' && !after_return)
		print_raw("\r", 1);
	after_return = c == '\r';
	if (c >= ' ' ? c != DELETE : strchr("\r\n\b\t\a", c) && c)
		print_raw((const char *)&c, 1);
}

/* False: the domain has ended. */
static bool show_output(void)
{
	static u8 buf[1024];
	s64 n;

	while ((n = hypercall(WEIR_HC_CONSOLE_READ, (u64)buf, sizeof(buf), 0)) > 0)
		for (s64 i = 0; i < n; i++)
			show(buf[i]);
	return n >= 0;
}

/* False: the key that comes back was typed. */
static bool pass_input(void)
{
	int c;

	while (waiting.nr < sizeof(waiting.key) && (c = shell_key()) >= 0) {
		if (c == COMES_BACK)
			return false;
		waiting.key[waiting.nr++] = (u8)c;
	}
	if (waiting.nr) {
		s64 n = hypercall(WEIR_HC_CONSOLE_WRITE, (u64)waiting.key, waiting.nr, 0);

		if (n > 0) {
			waiting.nr -= (u32)n;
			memmove(waiting.key, waiting.key + n, waiting.nr);
		}
	}
	return true;
}

void console_command(int argc, char **argv)
{
	struct weir_domain_info d;
	bool there;

	(void)argc;
	if (!find_domain(argv[0], &d))
		return;
	if (d.control) {
		print("\"%s\": this is the control domain itself: its console is here\n", argv[0]);
		return;
	}
	if (hypercall(WEIR_HC_CONSOLE_SELECT, d.id, 0, 0)) {
		print("\"%s\": this domain has just ended\n", argv[0]);
		return;
	}
	print("The console of %s; Ctrl-] returns.\n", d.name);
	waiting.nr = 0;
	while ((there = show_output()) && pass_input())
		shell_sleep(waiting.nr ? INPUT_RETRY_NS : LOOK_NS);
	(void)hypercall(WEIR_HC_CONSOLE_SELECT, 0, 0, 0);
	print("\033[0m\n%s%s\n", there ? "Back from " : "The domain has ended: ", d.name);
}
