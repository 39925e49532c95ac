/* The registers of MSI-X as a guest sees them. See msixregs.h. */
#include <kernel/guest/devices/pci/msixregs.h>

#include <drivers/pci.h>

u32 msix_control_read(const struct msix_control *c, u32 nr_entries)
{
	return PCI_CAP_MSIX | (u32)FIELD_PREP(MSIX_CONTROL_SIZE, nr_entries - 1) |
	       (c->enabled ? (u32)MSIX_CONTROL_ENABLE : 0) |
	       (c->masked ? (u32)MSIX_CONTROL_MASKED : 0);
}

void msix_control_write(struct msix_control *c, u32 value, u32 mask)
{
	if (mask & MSIX_CONTROL_ENABLE)
		c->enabled = value & MSIX_CONTROL_ENABLE;
	if (mask & MSIX_CONTROL_MASKED)
		c->masked = value & MSIX_CONTROL_MASKED;
}

u32 msix_entry_read(const struct msix_entry *e, u32 offset)
{
	switch (offset) {
	case 0:
		return (u32)e->address;
	case 4:
		return (u32)(e->address >> 32);
	case 8:
		return e->data;
	default:
		return e->masked ? PCI_MSIX_ENTRY_MASKED : 0;
	}
}

void msix_entry_write(struct msix_entry *e, u32 offset, u32 value)
{
	switch (offset) {
	case 0:
		e->address = (e->address & ~0xffffffffUL) | (value & ~3u);
		break;
	case 4:
		e->address = (e->address & 0xffffffff) | (u64)value << 32;
		break;
	case 8:
		e->data = value;
		break;
	default:
		e->masked = value & PCI_MSIX_ENTRY_MASKED;
	}
}
