/* See kernel/core/debugexit.h. */
#include <kernel/core/debugexit.h>

#include <kernel/core/console.h>
#include <kernel/x86/cpuid.h>
#include <kernel/x86/io.h>

#define DEBUG_EXIT_PORT 0x501

static enum debug_exit chosen;

void debug_exit(enum debug_exit value)
{
	/* On real hardware anything may be at this port, so Weir writes there only as a
	 * hypervisor's guest, or when it was asked to. Not every emulator sets the bit in CPUID. An
	 * absent device reads as all ones. */
	bool may = chosen != DEBUG_EXIT_NEVER || cpuid(1, 0).ecx & CPUID1_ECX_HYPERVISOR;

	if (!may || inb(DEBUG_EXIT_PORT) == 0xff)
		return;
	console_flush();
	outb(DEBUG_EXIT_PORT, (u8)value);
}

void debug_exit_choose(enum debug_exit value)
{
	chosen = value;
}

void debug_exit_when(enum debug_exit value)
{
	if (chosen == value)
		debug_exit(value);
}
