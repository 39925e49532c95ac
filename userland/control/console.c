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
/* How long the shell waits for a guest to read what was typed before Ctrl-]. Both the time and the
 * tries must be used up: on a busy machine the time may pass without the guest having run. */
#define LEAVE_NS 2000000000UL
#define LEAVE_TRIES (LEAVE_NS / INPUT_RETRY_NS)
/* Keys taken before the guest's output is shown again. */
#define KEYS_AT_ONCE 64u

/* Input for which the guest's UART had no room. Keys are still read when this is full, because
 * Ctrl-] may be behind them, and are lost. */
static struct {
	u8 key[8192];
	u32 nr, lost;
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

static enum keys { KEYS_ALL, KEYS_MORE, KEYS_LEAVE } take_keys(void)
{
	for (u32 i = 0; i < KEYS_AT_ONCE; i++) {
		int c = shell_key();

		if (c < 0)
			return KEYS_ALL;
		if (c == DISCONNECT)
			return KEYS_LEAVE;
		if (waiting.nr < sizeof(waiting.key))
			waiting.key[waiting.nr++] = (u8)c;
		else
			waiting.lost++;
	}
	return KEYS_MORE;
}

/* Pass to the guest what it has room for. */
static void send_keys(void)
{
	s64 n = 0;

	if (waiting.nr)
		n = hypercall(WEIR_HC_CONSOLE_WRITE, (u64)waiting.key, waiting.nr, 0);
	if (n > 0) {
		waiting.nr -= (u32)n;
		memmove(waiting.key, waiting.key + n, waiting.nr);
	}
}

/* Pass on what was typed before Ctrl-], for a limited time: a guest that does not read must not
 * keep the shell from its user. False: the domain has ended. */
static bool send_rest(void)
{
	u64 end = clock_ns() + LEAVE_NS;
	bool there = true;

	for (u32 i = 0; there && waiting.nr && (i < LEAVE_TRIES || clock_ns() < end); i++) {
		shell_sleep(INPUT_RETRY_NS);
		send_keys();
		there = show_output();
	}
	return there;
}

void console_command(int argc, char **argv)
{
	struct weir_domain_info d;
	enum keys keys;
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
	waiting.nr = waiting.lost = 0;
	do {
		keys = take_keys();
		send_keys();
		there = show_output();
		if (there && keys == KEYS_ALL)
			shell_sleep(waiting.nr ? INPUT_RETRY_NS : CHECK_NS);
	} while (there && keys != KEYS_LEAVE);
	there = there && send_rest();
	(void)hypercall(WEIR_HC_CONSOLE_SELECT, 0, 0, 0);
	(void)show_output(); /* what the guest has written meanwhile; the rest goes to the log */
	print("\033[0m\n");
	if (there && waiting.nr + waiting.lost)
		print("%u characters are lost, because %s did not read them\n",
		      waiting.nr + waiting.lost, d.name);
	print("%s%s\n", there ? "Disconnected from " : "Domain ended: ", d.name);
}
