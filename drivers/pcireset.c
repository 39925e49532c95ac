/* A function brought back to the state after power-on, by the first way that it has:
 *
 *	function-level reset                      PCI Express Base 5.0, 6.6.2; conventional PCI: the AF capability (6.22 of its 3.0 ECN)
 *	a hot reset of the link above it          7.5.1.3.13, where nothing else is behind that port
 *	into D3hot and back                       5.3.1.4.1, if that does not keep its state (as QEMU's e1000e does all the same)
 */
#include <drivers/pci.h>

#define AF_CAP 3
#define AF_CAP_FLR BIT(1)
#define AF_CTRL 4
#define AF_CTRL_FLR BIT(0)
#define PM_CSR_NO_SOFT_RESET BIT(3)
#define BRIDGE_CONTROL 0x3e
#define BRIDGE_CONTROL_RESET BIT(6)

enum reset { RESET_NONE, RESET_FLR, RESET_AF, RESET_LINK, RESET_PM };

static u16 read16(const struct pci_device *d, u32 offset)
{
	return pci_config_read16(d->id.segment, d->id.bdf, (u16)offset);
}

static void write16(const struct pci_device *d, u32 offset, u64 value)
{
	pci_config_write16(d->id.segment, d->id.bdf, (u16)offset, (u16)value);
}

static void write32(const struct pci_device *d, u32 offset, u64 value)
{
	pci_config_write32(d->id.segment, d->id.bdf, (u16)offset, (u32)value);
}

/* The port that leads to d and nothing else; NULL: there is none. */
static const struct pci_device *port_of(const struct pci_device *d)
{
	const struct pci_device *port = pci_bridge_above(d), *e;
	enum pci_express_type type;
	u8 first, last;

	/* With a full list there may be others that are not known. */
	if (!port || !port->pcie || pci_device_at(PCI_MAX_DEVICES - 1))
		return NULL;
	type = pci_express_type(port);
	if (type != PCI_EXPRESS_ROOT_PORT && type != PCI_EXPRESS_DOWNSTREAM)
		return NULL;
	first = pci_config_read8(port->id.segment, port->id.bdf, PCI_SECONDARY_BUS);
	last = pci_config_read8(port->id.segment, port->id.bdf, PCI_SUBORDINATE_BUS);
	for (u32 i = 0; (e = pci_device_at(i)); i++)
		if (e != d && e->id.segment == d->id.segment && e->id.bdf >> 8 >= first &&
		    e->id.bdf >> 8 <= last)
			return NULL;
	return port;
}

static enum reset find_reset(const struct pci_device *d)
{
	/* Its virtual functions would go with it, and others may have them. */
	if (d->nr_virtual)
		return RESET_NONE;
	if (d->pcie && (pci_config_read32(d->id.segment, d->id.bdf, d->pcie + PCI_EXP_DEVCAP) &
			PCI_EXP_DEVCAP_FLR))
		return RESET_FLR;
	if (d->af && (pci_config_read8(d->id.segment, d->id.bdf, d->af + AF_CAP) & AF_CAP_FLR))
		return RESET_AF;
	if (port_of(d))
		return RESET_LINK;
	if (d->pm && !(read16(d, d->pm + PCI_PM_CSR) & PM_CSR_NO_SOFT_RESET))
		return RESET_PM;
	return RESET_NONE;
}

const char *pci_reset_method(const struct pci_device *d)
{
	static const char *const names[] = { NULL, "function-level reset", "AF function-level reset",
					     "hot reset", "power state D3hot" };

	return names[find_reset(d)];
}

static void set_link_reset(const struct pci_device *port, bool on)
{
	u16 control = read16(port, BRIDGE_CONTROL);

	write16(port, BRIDGE_CONTROL,
		on ? control | BRIDGE_CONTROL_RESET : control & ~BRIDGE_CONTROL_RESET);
}

bool pci_reset_start(struct pci_device *d)
{
	/* Among it the largest packets that the way to it can take. */
	d->device_control = d->pcie ? read16(d, d->pcie + PCI_EXP_DEVCTL) : 0;
	switch (find_reset(d)) {
	case RESET_FLR:
		write16(d, d->pcie + PCI_EXP_DEVCTL, d->device_control | PCI_EXP_DEVCTL_FLR);
		return true;
	case RESET_AF:
		pci_config_write8(d->id.segment, d->id.bdf, d->af + AF_CTRL, AF_CTRL_FLR);
		return true;
	case RESET_LINK:
		d->link_is_reset = true;
		set_link_reset(port_of(d), true);
		return true;
	case RESET_PM:
		write16(d, d->pm + PCI_PM_CSR, read16(d, d->pm + PCI_PM_CSR) | PCI_PM_CSR_STATE);
		return true;
	default:
		return false;
	}
}

bool pci_reset_finish(struct pci_device *d)
{
	if (d->link_is_reset) {
		d->link_is_reset = false;
		set_link_reset(port_of(d), false);
		return false;
	}
	if (d->pm)
		write16(d, d->pm + PCI_PM_CSR, read16(d, d->pm + PCI_PM_CSR) & ~PCI_PM_CSR_STATE);
	write16(d, PCI_COMMAND, 0);
	if (d->pcie)
		write16(d, d->pcie + PCI_EXP_DEVCTL, d->device_control);
	for (u32 i = 0; i < PCI_BARS; i++) {
		/* A virtual function's are its physical one's. */
		if (!d->bar[i].size || d->physical)
			continue;
		write32(d, PCI_BAR0 + 4 * i, d->bar[i].base);
		if (d->bar[i].is64)
			write32(d, PCI_BAR0 + 4 * i + 4, d->bar[i].base >> 32);
	}
	return true;
}
