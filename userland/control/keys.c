/* The keys that the terminal sends, while a command runs too. */
#include "shell.h"

#define CTRL_C 3
/* Keys taken in one call of shell_interrupted(): a paste without end must not hold up a command. */
#define KEYS_AT_ONCE 1024u

/* Keys typed while a command ran: input for the next line. Keys are still read when this is full,
 * because Ctrl-C may be behind them, and are lost. */
static struct {
	u8 key[256];
	u32 written, read, lost;
} ahead;

int shell_key(void)
{
	return ahead.read != ahead.written ? ahead.key[ahead.read++ % sizeof(ahead.key)] :
					     console_get();
}

bool shell_interrupted(void)
{
	int c;

	for (u32 i = 0; i < KEYS_AT_ONCE && (c = console_get()) >= 0; i++) {
		if (c == CTRL_C) {
			ahead.read = ahead.written;
			ahead.lost = 0;
			return true;
		}
		if (ahead.written - ahead.read < sizeof(ahead.key))
			ahead.key[ahead.written++ % sizeof(ahead.key)] = (u8)c;
		else
			ahead.lost++;
	}
	return false;
}

u32 shell_keys_lost(void)
{
	u32 lost = ahead.lost;

	ahead.lost = 0;
	return lost;
}
