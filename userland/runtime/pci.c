/* PCI configuration mechanism #1 (PCI 3.0, 3.2.2.3.2), MSI (6.8.1) and MSI-X (6.8.2). */
#include "pci.h"

#include <kernel/lib/pci_id.h>
#include <kernel/x86/apic.h>
#include <kernel/x86/pci_ports.h>

static u16 bdf_of(const struct pci_device *d)
{
	return PCI_BDF(d->bus, d->device, d->function);
}

u32 pci_read32(const struct pci_device *d, u8 reg)
{
	return pci_ports_read32(bdf_of(d), reg);
}

void pci_write32(const struct pci_device *d, u8 reg, u32 value)
{
	pci_ports_write32(bdf_of(d), reg, value);
}

u16 pci_read16(const struct pci_device *d, u8 reg)
{
	return pci_ports_read16(bdf_of(d), reg);
}

void pci_write16(const struct pci_device *d, u8 reg, u16 value)
{
	pci_ports_write16(bdf_of(d), reg, value);
}

static bool probe(struct pci_device *d)
{
	u32 id = pci_read32(d, PCI_VENDOR_ID);

	d->vendor = (u16)id;
	d->id = (u16)(id >> 16);
	d->class = pci_read32(d, PCI_REVISION) >> 8;
	return d->vendor != 0xffff;
}

/* True if fn returned true. A bus behind a bridge has a higher number than the bridge's own bus, so
 * this recursion ends. */
static bool scan_bus(u8 bus, bool (*fn)(const struct pci_device *d, void *ctx), void *ctx)
{
	for (u8 device = 0; device < 32; device++) {
		u8 functions = 1;

		for (u8 function = 0; function < functions; function++) {
			struct pci_device d = { bus, device, function, 0, 0, 0 };
			u8 behind;

			if (!probe(&d))
				continue;
			if (!function &&
			    (pci_read16(&d, PCI_HEADER_TYPE) & PCI_HEADER_MULTI_FUNCTION))
				functions = 8;
			if (fn(&d, ctx))
				return true;
			if (d.class >> 8 != PCI_CLASS_PCI_BRIDGE)
				continue;
			behind = pci_ports_read8(bdf_of(&d), PCI_SECONDARY_BUS);
			if (behind > bus && scan_bus(behind, fn, ctx))
				return true;
		}
	}
	return false;
}

bool pci_for_each(bool (*fn)(const struct pci_device *d, void *ctx), void *ctx)
{
	return scan_bus(0, fn, ctx);
}

/* The first capability with this id from `at` on, or 0. */
static u8 find_from(const struct pci_device *d, u8 at, u8 id)
{
	for (unsigned int i = 0; at >= PCI_HEADER_END && i < PCI_MAX_CAPABILITIES; i++) {
		u16 header = pci_read16(d, at);

		if ((header & 0xff) == id)
			return at;
		at = (header >> 8) & 0xfc;
	}
	return 0;
}

u8 pci_find_capability(const struct pci_device *d, u8 id)
{
	if (!(pci_read16(d, PCI_STATUS) & PCI_STATUS_CAPABILITIES))
		return 0;
	return find_from(d, pci_read16(d, PCI_CAPABILITIES) & 0xfc, id);
}

u8 pci_next_capability(const struct pci_device *d, u8 at, u8 id)
{
	return find_from(d, (pci_read16(d, at) >> 8) & 0xfc, id);
}

u64 pci_bar(const struct pci_device *d, unsigned int bar)
{
	u8 reg = (u8)PCI_BAR(bar);
	u32 low = pci_read32(d, reg);
	u64 address = low & ~PCI_BAR_MEMORY_FLAGS;

	if (low & PCI_BAR_IO)
		return 0;
	if ((low & PCI_BAR_TYPE) == PCI_BAR_TYPE_64 && bar < 5)
		address |= (u64)pci_read32(d, (u8)(reg + 4)) << 32;
	return address;
}

u32 pci_msix_table(const struct pci_device *d, volatile struct pci_msix_entry **table)
{
	u8 cap = pci_find_capability(d, PCI_CAP_MSIX);
	u32 where;
	u64 bar;

	if (!cap)
		return 0;
	where = pci_read32(d, (u8)(cap + PCI_MSIX_TABLE));
	bar = pci_bar(d, where & PCI_MSIX_BIR);
	if (!bar)
		return 0;
	*table = (volatile struct pci_msix_entry *)(bar + (where & ~PCI_MSIX_BIR));
	return (pci_read16(d, (u8)(cap + PCI_MSIX_CONTROL)) & PCI_MSIX_SIZE) + 1;
}

/* MSI address of this CPU. */
static u32 own_msi_address(void)
{
	return MSI_ADDRESS | (u32)FIELD_PREP(MSI_ADDRESS_DESTINATION, x2apic_id());
}

void pci_msix_set(volatile struct pci_msix_entry *table, u32 entry, u8 vector)
{
	volatile struct pci_msix_entry *e = &table[entry];

	e->control = PCI_MSIX_ENTRY_MASKED; /* while it changes */
	e->address = own_msi_address();
	e->address_high = 0;
	e->data = vector;
	e->control = 0;
}

void pci_msix_enable(const struct pci_device *d)
{
	u8 reg = (u8)(pci_find_capability(d, PCI_CAP_MSIX) + PCI_MSIX_CONTROL);

	pci_write16(d, reg, (u16)((pci_read16(d, reg) & ~PCI_MSIX_MASK) | PCI_MSIX_ENABLE));
}

bool pci_msi_enable(const struct pci_device *d, u8 vector)
{
	u8 cap = pci_find_capability(d, PCI_CAP_MSI);
	u16 control;

	if (!cap)
		return false;
	control = pci_read16(d, (u8)(cap + PCI_MSI_CONTROL));
	pci_write32(d, (u8)(cap + PCI_MSI_ADDRESS), own_msi_address());
	if (control & PCI_MSI_64) {
		pci_write32(d, (u8)(cap + PCI_MSI_ADDRESS_HIGH), 0);
		pci_write16(d, (u8)(cap + PCI_MSI_DATA_64), vector);
	} else {
		pci_write16(d, (u8)(cap + PCI_MSI_DATA_32), vector);
	}
	pci_write16(d, (u8)(cap + PCI_MSI_CONTROL),
		    (u16)((control & ~PCI_MSI_COUNT) | PCI_MSI_ENABLE));
	return true;
}
