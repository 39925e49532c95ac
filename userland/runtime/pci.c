/* PCI configuration mechanism #1 (PCI 3.0, 3.2.2.3.2), MSI (6.8.1) and MSI-X (6.8.2). */
#include "pci.h"

#include "cpu.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE BIT(31)

#define REG_ID 0x00
#define REG_STATUS 0x06
#define REG_CLASS 0x08
#define REG_HEADER 0x0e
#define REG_BAR 0x10
#define REG_BUSES 0x18 /* primary, secondary */
#define REG_CAPABILITIES 0x34
#define STATUS_CAPABILITIES BIT(4)
#define HEADER_MANY BIT(7)
#define CLASS_PCI_BRIDGE 0x0604

#define MSI_CONTROL 2
#define MSI_CONTROL_ENABLE BIT(0)
#define MSI_CONTROL_COUNT MASK(6, 4)
#define MSI_CONTROL_64 BIT(7)
#define MSIX_CONTROL 2
#define MSIX_CONTROL_SIZE MASK(10, 0)
#define MSIX_CONTROL_MASK BIT(14)
#define MSIX_CONTROL_ENABLE BIT(15)
#define MSIX_TABLE 4
#define MSIX_ENTRY_WORDS 4

#define MSI_ADDRESS 0xfee00000u

static void select(const struct pci_device *d, u8 reg)
{
	outl(CONFIG_ADDRESS, (u32)CONFIG_ENABLE | (u32)d->bus << 16 | (u32)d->device << 11 |
				     (u32)d->function << 8 | (reg & 0xfc));
}

u32 pci_read32(const struct pci_device *d, u8 reg)
{
	select(d, reg);
	return inl(CONFIG_DATA);
}

void pci_write32(const struct pci_device *d, u8 reg, u32 value)
{
	select(d, reg);
	outl(CONFIG_DATA, value);
}

u16 pci_read16(const struct pci_device *d, u8 reg)
{
	select(d, reg);
	return inw(CONFIG_DATA + (reg & 2));
}

void pci_write16(const struct pci_device *d, u8 reg, u16 value)
{
	select(d, reg);
	outw(CONFIG_DATA + (reg & 2), value);
}

static bool probe(struct pci_device *d)
{
	u32 id = pci_read32(d, REG_ID);

	d->vendor = (u16)id;
	d->id = (u16)(id >> 16);
	d->class = pci_read32(d, REG_CLASS) >> 8;
	return d->vendor != 0xffff;
}

/* True if fn has had enough. Buses behind a bridge have higher numbers than its own, so this comes
 * to an end. */
static bool scan_bus(u8 bus, bool (*fn)(const struct pci_device *d, void *ctx), void *ctx)
{
	for (u8 device = 0; device < 32; device++) {
		u8 functions = 1;

		for (u8 function = 0; function < functions; function++) {
			struct pci_device d = { bus, device, function, 0, 0, 0 };
			u8 behind;

			if (!probe(&d))
				continue;
			if (!function && (pci_read16(&d, REG_HEADER) & HEADER_MANY))
				functions = 8;
			if (fn(&d, ctx))
				return true;
			if (d.class >> 8 != CLASS_PCI_BRIDGE)
				continue;
			behind = (u8)(pci_read16(&d, REG_BUSES) >> 8);
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

/* The first capability with this id from `at` on; `at` is 0 behind the last. */
static u8 find_from(const struct pci_device *d, u8 at, u8 id)
{
	for (unsigned int i = 0; at >= 0x40 && i < PCI_MAX_CAPABILITIES; i++) {
		u16 header = pci_read16(d, at);

		if ((header & 0xff) == id)
			return at;
		at = (header >> 8) & 0xfc;
	}
	return 0;
}

u8 pci_find_capability(const struct pci_device *d, u8 id)
{
	if (!(pci_read16(d, REG_STATUS) & STATUS_CAPABILITIES))
		return 0;
	return find_from(d, pci_read16(d, REG_CAPABILITIES) & 0xfc, id);
}

u8 pci_next_capability(const struct pci_device *d, u8 at, u8 id)
{
	return find_from(d, (pci_read16(d, at) >> 8) & 0xfc, id);
}

u64 pci_bar(const struct pci_device *d, unsigned int bar)
{
	u8 reg = (u8)(REG_BAR + bar * 4);
	u32 low = pci_read32(d, reg);
	u64 address = low & ~0xfu;

	if (low & 1)
		return 0;
	if ((low & 6) == 4 && bar < 5)
		address |= (u64)pci_read32(d, (u8)(reg + 4)) << 32;
	return address;
}

u32 pci_msix_table(const struct pci_device *d, volatile u32 **table)
{
	u8 cap = pci_find_capability(d, PCI_CAP_MSIX);
	u32 where;
	u64 bar;

	if (!cap)
		return 0;
	where = pci_read32(d, (u8)(cap + MSIX_TABLE));
	bar = pci_bar(d, where & 7);
	if (!bar)
		return 0;
	*table = (volatile u32 *)(bar + (where & ~7u));
	return (pci_read16(d, (u8)(cap + MSIX_CONTROL)) & MSIX_CONTROL_SIZE) + 1;
}

void pci_msix_set(volatile u32 *table, u32 entry, u8 vector)
{
	volatile u32 *e = table + entry * MSIX_ENTRY_WORDS;

	mmio_write32(&e[3], 1); /* masked while it changes */
	mmio_write32(&e[0], MSI_ADDRESS | (x2apic_id() & 0xff) << 12);
	mmio_write32(&e[1], 0);
	mmio_write32(&e[2], vector);
	mmio_write32(&e[3], 0);
}

void pci_msix_enable(const struct pci_device *d)
{
	u8 reg = (u8)(pci_find_capability(d, PCI_CAP_MSIX) + MSIX_CONTROL);

	pci_write16(d, reg, (u16)((pci_read16(d, reg) & ~MSIX_CONTROL_MASK) | MSIX_CONTROL_ENABLE));
}

bool pci_msi_enable(const struct pci_device *d, u8 vector)
{
	u8 cap = pci_find_capability(d, PCI_CAP_MSI);
	u16 control;

	if (!cap)
		return false;
	control = pci_read16(d, (u8)(cap + MSI_CONTROL));
	pci_write32(d, (u8)(cap + 4), MSI_ADDRESS | (x2apic_id() & 0xff) << 12);
	if (control & MSI_CONTROL_64) {
		pci_write32(d, (u8)(cap + 8), 0);
		pci_write16(d, (u8)(cap + 12), vector);
	} else {
		pci_write16(d, (u8)(cap + 8), vector);
	}
	pci_write16(d, (u8)(cap + MSI_CONTROL),
		    (u16)((control & ~MSI_CONTROL_COUNT) | MSI_CONTROL_ENABLE));
	return true;
}
