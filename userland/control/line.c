/* Reads a line from the terminal, with echo and simple editing. */
#include "shell.h"

#define CTRL_C 3
#define CTRL_U 21
#define BACKSPACE 8
#define ESCAPE 27
#define DELETE 127

/* Cursor keys and the like send ESC [ or ESC O, then more bytes up to a final one (ECMA-48). All of
 * it is dropped. */
static bool in_sequence(u8 c)
{
	static enum { NONE, INTRODUCER, BODY } state;

	if (c == ESCAPE) {
		state = INTRODUCER;
		return true;
	}
	if (state == INTRODUCER) {
		state = c == '[' || c == 'O' ? BODY : NONE;
		return true;
	}
	if (state == BODY) {
		if (c >= '@' && c <= '~')
			state = NONE;
		return true;
	}
	return false;
}

static u8 wait_for_key(void)
{
	int c;

	while ((c = shell_key()) < 0)
		shell_sleep(0);
	return (u8)c;
}

bool line_read(const char *prompt, char *line, size_t size)
{
	static bool after_return;
	size_t len = 0;

	print("%s", prompt);
	for (;;) {
		u8 c = wait_for_key();

		if (c == '\n' && after_return) { /* CR LF is one line end */
			after_return = false;
			continue;
		}
		after_return = c == '\r';
		if (in_sequence(c))
			continue;
		switch (c) {
		case '\r':
		case '\n':
			print("\n");
			line[len] = 0;
			return true;
		case CTRL_C:
			print("^C\n");
			return false;
		case BACKSPACE:
		case DELETE:
			if (len) {
				len--;
				print("\b \b");
			}
			break;
		case CTRL_U:
			for (; len; len--)
				print("\b \b");
			break;
		default:
			if (c >= ' ' && c <= '~' && len + 1 < size) {
				line[len++] = (char)c;
				print("%c", c);
			}
		}
	}
}
