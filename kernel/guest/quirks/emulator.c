/* Workarounds for one emulator. */
#include <kernel/guest/quirks/emulator.h>

#include <kernel/core/cpu.h>
#include <kernel/core/irq.h>
#include <kernel/core/lapic.h>
#include <kernel/x86/cpuid.h>

/* SDM vol. 1, 13.4: the legacy region's x87 part, and the header. */
#define FCW_RESET 0x037f
#define ST_OFFSET 32
#define ST_SIZE 128
#define XSTATE_BV_OFFSET 512
#define XSTATE_X87 BIT(0)

bool emulator_found;

void emulator_detect(void)
{
	emulator_found = cpuid(1, 0).ecx & CPUID1_ECX_HYPERVISOR;
}

void emulator_send_pending_again(void)
{
	int vector = lapic_pending_vector();

	if (vector >= 0)
		irq_send(this_cpu()->id, vector);
}

const char *emulator_refused_state(void)
{
	return emulated() ? "the emulator has replaced it, perhaps CR0.NW without CR0.CD" : NULL;
}

void emulator_note_initial_x87(void *xsave_area)
{
	u64 *area = xsave_area, used = (area[0] ^ FCW_RESET) | area[1] | area[2];

	for (u32 i = ST_OFFSET / 8; i < (ST_OFFSET + ST_SIZE) / 8; i++)
		used |= area[i];
	if (!used)
		area[XSTATE_BV_OFFSET / 8] &= ~XSTATE_X87;
}
