/* Filters a guest's accesses to a function's config space (PCI Local Bus 3.0, chapter 6). What each
 * dword returns:
 *
 *	00 ids, 08 class, 2c subsystem   the device's own
 *	04 command                       memory decoding, bus mastering, interrupt disable: kept;
 *	                                 the rest reads as 0
 *	0c header type                   0, one function
 *	10..24 BARs                      vbar.c; I/O BARs are hidden
 *	34 capabilities                  power management, MSI, PCI Express, MSI-X; vendor-specific
 *	                                 ones read-only (virtio's say where in the BARs its
 *	                                 registers are); all others are hidden
 *	3c interrupt line, pin           a scratch register; no pin, since legacy interrupts are not
 *	                                 passed on
 *
 * A guest's write reaches the device in only three cases: bus mastering, and the enable and mask
 * bits of MSI and of MSI-X. The power state is stored, but not set in the device. A function-level
 * reset is not offered.
 */
#include <kernel/guest/devices/pci/vconfig.h>

#include <drivers/pcidma.h>
#include <drivers/pcipresence.h>
#include <kernel/guest/devices/pci/vbar.h>
#include <kernel/guest/devices/pci/vfunction.h>
#include <kernel/guest/devices/pci/vmsi.h>
#include <kernel/guest/devices/pci/vmsix.h>
#include <kernel/guest/devices/pci/vpci.h>

#define COMMAND_GUEST                                                                              \
	((u16)(PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER | PCI_COMMAND_INTX_DISABLE))

#define PM_LENGTH 8
#define PCIE_LENGTH 0x3c
#define MSIX_LENGTH 12

/* The offset of the first visible capability beyond `at`, or 0. Offsets increase along this list,
 * so it always ends, whatever the device's own list looks like. */
static u8 next_capability(const struct vfunction *f, u8 at)
{
	const u8 msix = f->nr_vectors ? f->dev->msix : 0;
	const u8 shown[] = { f->dev->pm, f->dev->msi, f->dev->pcie, msix };
	u8 next = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(shown); i++)
		if (shown[i] > at && (!next || shown[i] < next))
			next = shown[i];
	for (unsigned int i = 0; i < PCI_VENDOR_CAPS; i++)
		if (f->dev->vendor_cap[i] > at && (!next || f->dev->vendor_cap[i] < next))
			next = f->dev->vendor_cap[i];
	return next;
}

/* The visible capability that contains the offset, or 0. */
static u8 capability_at(const struct vfunction *f, u8 offset)
{
	u8 found = 0;

	for (u8 at = next_capability(f, 0); at && at <= offset; at = next_capability(f, at))
		found = at;
	return found;
}

static u32 pm_read(struct vfunction *f, u8 offset)
{
	u32 value = device_config_read32(f, f->dev->pm + offset);

	if (offset == 4)
		return (value & ~(PCI_PM_CTRL_STATE | 0xff00u)) | f->pm_state;
	return value;
}

static u32 pcie_read(struct vfunction *f, u8 offset)
{
	u32 value = device_config_read32(f, f->dev->pcie + offset);

	return offset == PCI_EXP_DEVCAP ? value & ~(u32)PCI_EXP_DEVCAP_FLR : value;
}

static bool is_vendor_cap(const struct vfunction *f, u8 cap)
{
	for (unsigned int i = 0; i < PCI_VENDOR_CAPS; i++)
		if (f->dev->vendor_cap[i] == cap)
			return true;
	return false;
}

/* A vendor-specific capability. Only its third byte is defined: its length (appendix H). */
static u32 vendor_read(struct vfunction *f, u8 cap, u8 offset)
{
	u32 header = device_config_read32(f, cap);

	return offset < (header >> 16 & 0xff) ? device_config_read32(f, (u8)(cap + offset)) : 0;
}

static u32 read_capability(struct vfunction *f, u8 cap, u8 offset)
{
	const struct pci_device *d = f->dev;
	u32 value = 0;

	if (cap == d->pm && offset < PM_LENGTH)
		value = pm_read(f, offset);
	else if (cap == d->msi)
		value = vmsi_read(f, offset);
	else if (cap == d->msix && offset < MSIX_LENGTH)
		value = vmsix_read(f, offset);
	else if (cap == d->pcie && offset < PCIE_LENGTH)
		value = pcie_read(f, offset);
	else if (is_vendor_cap(f, cap))
		value = vendor_read(f, cap, offset);
	if (offset == 0)
		value = (value & ~0xff00u) | (u32)next_capability(f, cap) << 8;
	return value;
}

u32 vconfig_read(struct vfunction *f, u8 offset)
{
	u8 cap;

	assert_locked(&f->bus->lock);
	switch (offset) {
	case 0x00:
		if (pci_look(f->dev) == PCI_GONE)
			return ~0u;
		/* In a virtual function this register reads as all ones (PCI Express Base 5.0,
		 * 9.3.4.1.1). */
		return f->dev->vendor | (u32)f->dev->device << 16;
	case 0x08:
	case 0x2c:
		return device_config_read32(f, offset);
	case 0x04:
		return f->command | (u32)PCI_STATUS_CAPABILITIES << 16;
	case 0x34:
		return next_capability(f, 0);
	case 0x3c:
		return f->interrupt_line;
	}
	if (offset >= PCI_BAR0 && offset < PCI_BAR0 + 4 * PCI_BARS)
		return vbar_read(f, (u32)(offset - PCI_BAR0) / 4);
	cap = offset >= 0x40 ? capability_at(f, offset) : 0;
	return cap ? read_capability(f, cap, (u8)(offset - cap)) : 0;
}

/* A guest cannot enable bus mastering again while its device is in quarantine. Another CPU may be
 * quarantining the device, and disabling bus mastering, at this moment; so check the state after
 * enabling it. */
static void set_bus_master(const struct vfunction *f, bool on)
{
	pci_set_bus_master(f->dev, on);
	if (on && iommu_device_state(f->dev->id) != IOMMU_DEVICE_ATTACHED)
		pci_set_bus_master(f->dev, false);
}

static enum step write_command(struct vfunction *f, u32 value, u32 mask)
{
	u16 old = f->command;

	f->command = (u16)((old & ~mask) | (value & mask)) & COMMAND_GUEST;
	/* The IOMMU has translated the device's accesses since it was attached, so the guest may
	 * enable DMA. */
	if ((old ^ f->command) & PCI_COMMAND_BUS_MASTER)
		set_bus_master(f, f->command & PCI_COMMAND_BUS_MASTER);
	return (old ^ f->command) & PCI_COMMAND_MEMORY || f->bars_move ? vbar_update(f) : STEP_DONE;
}

enum step vconfig_write(struct vfunction *f, u8 offset, u32 value, u32 mask)
{
	const struct pci_device *d = f->dev;
	u8 cap;

	assert_locked(&f->bus->lock);
	if (offset == PCI_COMMAND) {
		return write_command(f, value, mask & 0xffff);
	} else if (offset >= PCI_BAR0 && offset < PCI_BAR0 + 4 * PCI_BARS) {
		return vbar_write(f, (u32)(offset - PCI_BAR0) / 4, value, mask);
	} else if (offset == 0x3c) {
		f->interrupt_line = (u8)((f->interrupt_line & ~mask) | (value & mask));
	} else if (offset >= 0x40) {
		cap = capability_at(f, offset);
		offset = (u8)(offset - cap);
		if (cap && cap == d->msi)
			vmsi_write(f, offset, value, mask);
		else if (cap && cap == d->msix && f->nr_vectors)
			vmsix_write(f, offset, value, mask);
		else if (cap && cap == d->pm && offset == 4)
			f->pm_state = (u16)((f->pm_state & ~mask) | (value & mask)) &
				      PCI_PM_CTRL_STATE;
	}
	return STEP_DONE;
}
