/* Base address registers: their size, and whether what they say can be true. */
#include <drivers/pcibar.h>

#include <kernel/lib/rangeset.h>
#include <kernel/mm/bootmem.h>

/* APICs, timers, remapping units and flash lie here, below 4 GiB. */
#define PLATFORM_FIRST 0xfec00000UL
#define PLATFORM_LAST 0xffffffffUL

/* Write all ones, see which bits stick, and put the `old` value back (PCI Local Bus 3.0, 6.2.5.1,
 * implementation note). */
static u32 probe_bar(struct pci_id id, u16 reg, u32 old)
{
	u32 mask;

	pci_config_write32(id.segment, id.bdf, reg, ~0u);
	mask = pci_config_read32(id.segment, id.bdf, reg);
	pci_config_write32(id.segment, id.bdf, reg, old);
	return mask;
}

void pci_size_bar(struct pci_id id, u16 reg, bool has_next, struct pci_bar *b)
{
	u32 low = pci_config_read32(id.segment, id.bdf, reg);
	u64 mask = probe_bar(id, reg, low);
	u32 high;

	*b = (struct pci_bar){ 0 };
	if (low & PCI_BAR_IO) {
		b->io = true;
		b->base = low & ~PCI_BAR_IO_FLAGS;
		/* The upper 16 bits of an I/O BAR may be hardwired to 0. */
		mask = (mask & ~PCI_BAR_IO_FLAGS) | 0xffffffffffff0000UL;
	} else {
		b->is64 = (low & PCI_BAR_TYPE) == PCI_BAR_TYPE_64 && has_next;
		b->prefetchable = low & PCI_BAR_PREFETCHABLE;
		b->base = low & ~PCI_BAR_MEMORY_FLAGS;
		mask = (mask & ~PCI_BAR_MEMORY_FLAGS) | 0xffffffff00000000UL;
		if (b->is64) {
			high = pci_config_read32(id.segment, id.bdf, reg + 4);
			b->base |= (u64)high << 32;
			mask = (mask & 0xffffffff) | (u64)probe_bar(id, reg + 4, high) << 32;
		}
	}
	if ((mask & 0xffffffff) || (b->is64 && mask >> 32))
		b->size = ~mask + 1;
}

void pci_size_bars(struct pci_device *d)
{
	const u16 decoding = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	u16 command = pci_read16(d, PCI_COMMAND) & (u16)~PCI_COMMAND_BUS_MASTER;

	d->bars_ok = true;
	/* Both at once: under an emulator each change of this register costs milliseconds. */
	pci_write16(d, PCI_COMMAND, command & (u16)~decoding);
	for (u32 i = 0; i < PCI_BARS; i++) {
		pci_size_bar(d->id, (u16)(PCI_BAR0 + 4 * i), i + 1 < PCI_BARS, &d->bar[i]);
		d->bars_ok = d->bars_ok && pci_bar_is_sane(&d->bar[i]);
		if (d->bar[i].is64)
			i++;
	}
	if (command & decoding)
		pci_write16(d, PCI_COMMAND, command);
}

u64 pci_bar_last(const struct pci_bar *b)
{
	return b->base + b->size - 1;
}

bool pci_bar_is_memory(const struct pci_bar *b)
{
	return b->size && !b->io;
}

/* A device may report any address. A BAR that the firmware left unset, or that lies over RAM, the
 * platform's registers or ECAM, must not be mapped into a guest. */
bool pci_bar_is_sane(const struct pci_bar *b)
{
	paddr_t last = pci_bar_last(b);

	if (!pci_bar_is_memory(b))
		return true;
	return b->base && !(b->size & (b->size - 1)) && !(b->base & (b->size - 1)) &&
	       (b->base > PLATFORM_LAST || last < PLATFORM_FIRST) &&
	       !pci_ecam_overlaps(b->base, last) &&
	       !rangeset_overlaps(bootmem_ram(), b->base >> PAGE_SHIFT, last >> PAGE_SHIFT);
}

/* Of two that overlap, Weir cannot know which one is right, so it trusts neither. */
void pci_compare_bars(struct pci_device *d, struct pci_device *e)
{
	for (u32 i = 0; i < PCI_BARS; i++) {
		const struct pci_bar *a = &d->bar[i];

		if (!pci_bar_is_memory(a) || !a->base)
			continue;
		for (u32 k = 0; k < PCI_BARS; k++) {
			const struct pci_bar *b = &e->bar[k];

			if (a != b && pci_bar_is_memory(b) && b->base &&
			    a->base <= pci_bar_last(b) && b->base <= pci_bar_last(a))
				d->bars_ok = e->bars_ok = false;
		}
	}
}
