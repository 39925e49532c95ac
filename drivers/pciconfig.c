/* Access to PCI configuration space: by ECAM (PCI Express Base 5.0, 7.2.2) for the buses in the
 * firmware's MCFG table, by mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2) for all others. */
#include <drivers/pciconfig.h>

#include <drivers/acpi.h>
#include <kernel/core/cpu.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/spinlock.h>
#include <kernel/lib/pci_regs.h>
#include <kernel/lib/rangeset.h>
#include <kernel/x86/io.h>

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000u
#define CONFIG_SIZE 256 /* bytes of a function that mechanism 1 reaches */

#define MAX_ECAM 16
#define BUS_WINDOW (1UL << 20)
#define FUNCTION_SHIFT 12

/* Guards CONFIG_ADDRESS with CONFIG_DATA. */
static struct spinlock config_lock = SPINLOCK_INIT(LOCK_CONFIG);
static struct acpi_ecam ecam[MAX_ECAM];
static u32 nr_ecam;
static volatile void *window[MAX_ECAM]; /* of its first bus */

void pci_config_init(void)
{
	const struct acpi_header *mcfg = acpi_find("MCFG");
	u32 nr = mcfg ? acpi_parse_mcfg(mcfg, ecam, MAX_ECAM) : 0;

	nr_ecam = MIN(nr, (u32)MAX_ECAM);
	if (nr > MAX_ECAM)
		log_warn("pci: %u ECAM windows more than MAX_ECAM (%u): the devices of these are "
			 "not found, and cannot be assigned",
			 nr - MAX_ECAM, MAX_ECAM);
	for (u32 i = 0; i < nr_ecam; i++) {
		const struct acpi_ecam *e = &ecam[i];

		window[i] = mmio_map(e->address + e->first_bus * BUS_WINDOW,
				     (e->last_bus - e->first_bus + 1UL) * BUS_WINDOW);
		if (!window[i])
			log_warn("pci: the ECAM window at 0x%lx cannot be mapped: the devices of "
				 "segment %u are reached without it, or not at all",
				 e->address, e->segment);
	}
}

bool pci_has_ecam(void)
{
	return nr_ecam;
}

bool pci_config_segment(u32 index, u16 *segment)
{
	if (index >= MAX(nr_ecam, 1u))
		return false;
	*segment = nr_ecam ? ecam[index].segment : 0;
	return true;
}

/* Where the register is mapped; NULL: no ECAM window has it. */
static volatile void *ecam_register(u16 segment, u16 bdf, u16 offset)
{
	u8 bus = (u8)(bdf >> 8);

	for (u32 i = 0; i < nr_ecam; i++) {
		u64 at = (bus - ecam[i].first_bus) * BUS_WINDOW +
			 ((u64)(bdf & 0xff) << FUNCTION_SHIFT) + offset;

		if (ecam[i].segment != segment || bus < ecam[i].first_bus || bus > ecam[i].last_bus)
			continue;
		return window[i] ? (volatile char *)window[i] + at : NULL;
	}
	return NULL;
}

static bool select_register(u16 segment, u16 bdf, u16 offset)
{
	if (segment || offset >= CONFIG_SIZE)
		return false;
	outl(CONFIG_ADDRESS, CONFIG_ENABLE | (u32)bdf << 8 | (offset & 0xfc));
	return true;
}

#define CONFIG_ACCESS(bits, in, out)                                                               \
	u##bits pci_config_read##bits(u16 segment, u16 bdf, u16 offset)                            \
	{                                                                                          \
		volatile u##bits *r = ecam_register(segment, bdf, offset);                         \
		u##bits value = (u##bits) ~0u;                                                     \
                                                                                                   \
		if (r)                                                                             \
			return *r;                                                                 \
		spin_lock(&config_lock);                                                           \
		if (select_register(segment, bdf, offset))                                         \
			value = in((u16)(CONFIG_DATA + (offset & (4 - bits / 8))));                \
		spin_unlock(&config_lock);                                                         \
		return value;                                                                      \
	}                                                                                          \
                                                                                                   \
	void pci_config_write##bits(u16 segment, u16 bdf, u16 offset, u##bits value)               \
	{                                                                                          \
		volatile u##bits *r = ecam_register(segment, bdf, offset);                         \
                                                                                                   \
		if (r) {                                                                           \
			*r = value;                                                                \
			return;                                                                    \
		}                                                                                  \
		spin_lock(&config_lock);                                                           \
		if (select_register(segment, bdf, offset))                                         \
			out((u16)(CONFIG_DATA + (offset & (4 - bits / 8))), value);                \
		spin_unlock(&config_lock);                                                         \
	}

CONFIG_ACCESS(8, inb, outb)
CONFIG_ACCESS(16, inw, outw)
CONFIG_ACCESS(32, inl, outl)

bool pci_exists(u16 segment, u16 bdf)
{
	u16 vendor = pci_config_read16(segment, bdf, PCI_VENDOR_ID);

	return vendor != 0xffff && vendor != 0;
}

int pci_add_ecam(struct rangeset *s)
{
	int ret = 0;

	for (u32 i = 0; i < nr_ecam && !ret; i++) {
		paddr_t first = ecam[i].address + ecam[i].first_bus * BUS_WINDOW;
		paddr_t end = ecam[i].address + (ecam[i].last_bus + 1) * BUS_WINDOW;

		ret = rangeset_add(s, first >> PAGE_SHIFT, (end - 1) >> PAGE_SHIFT);
	}
	return ret;
}

bool pci_ecam_overlaps(paddr_t first, paddr_t last)
{
	for (u32 i = 0; i < nr_ecam; i++)
		if (first <= ecam[i].address + (ecam[i].last_bus + 1) * BUS_WINDOW - 1 &&
		    last >= ecam[i].address + ecam[i].first_bus * BUS_WINDOW)
			return true;
	return false;
}
