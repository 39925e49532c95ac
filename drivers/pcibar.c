#include <drivers/pcibar.h>

#include <kernel/mm/bootmem.h>
#include <kernel/lib/rangeset.h>

#define PLATFORM_FIRST 0xfec00000UL
#define PLATFORM_LAST 0xffffffffUL

/* Write all ones, see which bits stick, put the old value back (3.2.1 of the PCI specification,
 * 6.2.5.1). */
static u32 probe(struct pci_id id, u16 reg)
{
	u32 old = pci_config_read32(id.segment, id.bdf, reg), mask;

	pci_config_write32(id.segment, id.bdf, reg, ~0u);
	mask = pci_config_read32(id.segment, id.bdf, reg);
	pci_config_write32(id.segment, id.bdf, reg, old);
	return mask;
}

void pci_size_bar(struct pci_id id, u16 reg, bool has_next, struct pci_bar *b)
{
	u32 low = pci_config_read32(id.segment, id.bdf, reg);
	u64 mask = probe(id, reg);

	*b = (struct pci_bar){ 0 };
	if (low & PCI_BAR_IO) {
		b->io = true;
		b->base = low & ~3u;
		mask = (mask & ~3u) | 0xffffffffffff0000UL;
	} else {
		b->is64 = (low & 6) == PCI_BAR_TYPE_64 && has_next;
		b->prefetchable = low & PCI_BAR_PREFETCHABLE;
		b->base = low & ~0xfu;
		mask = (mask & ~0xfu) | 0xffffffff00000000UL;
		if (b->is64) {
			b->base |= (u64)pci_config_read32(id.segment, id.bdf, reg + 4) << 32;
			mask = (mask & 0xffffffff) | (u64)probe(id, reg + 4) << 32;
		}
	}
	if ((mask & 0xffffffff) || (b->is64 && mask >> 32))
		b->size = ~mask + 1;
}

u64 pci_bar_last(const struct pci_bar *b)
{
	return b->base + b->size - 1;
}

bool pci_bar_is_memory(const struct pci_bar *b)
{
	return b->size && !b->io;
}

/* A BAR that the firmware left unset, or that lies over RAM, the APICs, the timers and the flash below 4 GiB, or ECAM, must not be
 * mapped for anybody. A device may say what it likes there. */
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

/* Two that lie over each other: which of them says the truth cannot be known. */
void pci_compare_bars(struct pci_device *d, struct pci_device *e)
{
	for (u32 i = 0; i < PCI_BARS; i++)
		for (u32 k = 0; k < PCI_BARS; k++) {
			const struct pci_bar *a = &d->bar[i], *b = &e->bar[k];

			if (a != b && pci_bar_is_memory(a) && pci_bar_is_memory(b) && a->base &&
			    b->base && a->base <= pci_bar_last(b) && b->base <= pci_bar_last(a))
				d->bars_ok = e->bars_ok = false;
		}
}

void pci_size_bars(struct pci_device *d)
{
	u16 command = pci_config_read16(d->id.segment, d->id.bdf, PCI_COMMAND);

	d->bars_ok = true;
	pci_config_write16(d->id.segment, d->id.bdf, PCI_COMMAND,
			   command & (u16) ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY));
	for (u32 i = 0; i < PCI_BARS; i++) {
		pci_size_bar(d->id, (u16)(PCI_BAR0 + 4 * i), i + 1 < PCI_BARS, &d->bar[i]);
		d->bars_ok = d->bars_ok && pci_bar_is_sane(&d->bar[i]);
		if (d->bar[i].is64)
			i++;
	}
	pci_config_write16(d->id.segment, d->id.bdf, PCI_COMMAND, command);
}
