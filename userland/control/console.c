/* The command console: shows what another domain writes to its console and passes on what is typed,
 * until Ctrl-]. */
#include <string.h>
#include "shell.h"

#define DISCONNECT 0x1d /* Ctrl-] */
#define ESCAPE 0x1b
#define DELETE 0x7f

/* When to retry input for a full UART. A guest that polls its UART does so about a hundred times a
 * second. */
#define INPUT_RETRY_NS 4000000UL
/* How often to check whether the domain has ended: no event reports that. */
#define CHECK_NS 250000000UL

/* Input that the guest's UART had no room for. */
static struct {
	u8 key[256];
	u32 nr;
} waiting;

/* A guest may move the cursor of the administrator's terminal, erase, and set colours: these are
 * the control sequences (ECMA-48) with one of these final bytes. It is not trusted to set titles,
 * request reports, or send any other sequence. */
static bool may_end_sequence(u8 c)
{
	return strchr("ABCDEFGHJKLMPSTXZ`abdefghlmrs@", c) && c;
}

/* Holds a sequence back until it is complete. */
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

/* False: Ctrl-] was typed. */
static bool pass_input(void)
{
	int c;

	while (waiting.nr < sizeof(waiting.key) && (c = shell_key()) >= 0) {
		if (c == DISCONNECT)
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
		print("\"%s\": this is the control domain; you are using its console\n", argv[0]);
		return;
	}
	if (hypercall(WEIR_HC_CONSOLE_SELECT, d.id, 0, 0)) {
		print("\"%s\": this domain has just ended\n", argv[0]);
		return;
	}
	print("Connected to %s; Ctrl-] returns.\n", d.name);
	waiting.nr = 0;
	while ((there = show_output()) && pass_input())
		shell_sleep(waiting.nr ? INPUT_RETRY_NS : CHECK_NS);
	(void)hypercall(WEIR_HC_CONSOLE_SELECT, 0, 0, 0);
	print("\033[0m\n%s%s\n", there ? "Disconnected from " : "Domain ended: ", d.name);
}
