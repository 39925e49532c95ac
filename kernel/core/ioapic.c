/* See kernel/core/ioapic.h. */
#include <kernel/core/ioapic.h>

#include <kernel/core/log.h>
#include <kernel/core/paging.h>

#define IOREGSEL 0x00
#define IOWIN 0x10
#define IOAPICVER 0x01
#define IOREDTBL(line) (0x10 + 2 * (line))
#define REDIRECTION_MASKED BIT(16)

bool ioapic_mask_all(u8 id, paddr_t address)
{
	volatile u8 *base = mmio_map(address, IOWIN + 4);
	volatile u32 *select, *window;
	u32 version, lines;

	if (!base) {
		log_warn("I/O APIC %u at 0x%lx cannot be mapped", id, address);
		return false;
	}
	select = (volatile u32 *)(base + IOREGSEL);
	window = (volatile u32 *)(base + IOWIN);
	*select = IOAPICVER;
	version = *window;
	if (version == ~0u) {
		log_warn("I/O APIC %u at 0x%lx does not answer", id, address);
		return false;
	}
	lines = (version >> 16 & 0xff) + 1;
	for (u32 i = 0; i < lines; i++) {
		*select = IOREDTBL(i);
		*window = REDIRECTION_MASKED;
		*select = IOREDTBL(i) + 1;
		*window = 0;
	}
	return true;
}
