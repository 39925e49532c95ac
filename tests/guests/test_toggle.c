/* A guest fills the MSI-X table of a device and then switches MSI-X off and on: each time, all
 * vectors that it has must go and come. */
#include <tests/guests/guest.h>
#include <tests/guests/pci.h>

#define VECTOR 0x71
#define TOGGLES 8u
#define ENABLE ((u32)PCI_MSIX_ENABLE << 16)

static u32 find(u32 *cap)
{
	for (u32 slot = 1; slot < 32; slot++) {
		if (config_read(slot, PCI_VENDOR_ID) == ~0u)
			continue;
		*cap = config_capability(slot, PCI_CAP_MSIX);
		if (*cap && *cap != ~0u)
			return slot;
	}
	return 0;
}

void test_toggle(void)
{
	volatile struct pci_msix_entry *table;
	u32 cap, slot = find(&cap), where, nr;

	if (!slot) {
		lacks("toggle: needs a device with MSI-X (pci=)");
		return;
	}
	nr = (config_read(slot, cap) >> 16 & 0x7ff) + 1;
	where = config_read(slot, cap + 4);
	config_write(slot, PCI_COMMAND, COMMAND_ON);
	table = (volatile struct pci_msix_entry *)(config_bar(slot, where & 7) + (where & ~7u));
	for (u32 i = 0; i < nr; i++) {
		table[i].address = MSI_ADDRESS;
		table[i].address_high = 0;
		table[i].data = VECTOR;
		table[i].control = 0;
	}
	for (u32 i = 0; i < TOGGLES; i++) {
		config_write(slot, cap, ENABLE);
		config_write(slot, cap, 0);
	}
	print("toggle: %u vectors\n", nr);
	CHECK("toggle: it is off", !(config_read(slot, cap) & ENABLE));
}
