#include <kernel/cpu.h>
#include <kernel/debugexit.h>

#define DEBUG_EXIT_PORT 0x501

void debug_exit(u8 value)
{
	/* On real hardware nobody knows what lies at this port; and an absent one reads all ones. */
	bool emulated = cpuid(1, 0).ecx & BIT(31);

	if (emulated && inb(DEBUG_EXIT_PORT) != 0xff)
		outb(DEBUG_EXIT_PORT, value);
}
