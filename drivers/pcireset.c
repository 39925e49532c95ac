/* Reset of a PCI function: back to the state after power-on, by the first method that it has:
 *
 *	function-level reset		PCI Express Base 5.0, 6.6.2; conventional PCI: the AF
 *					capability (6.22 of its ECN to PCI 3.0)
 *	hot reset of the link above it	7.5.1.3.13; only if nothing else is behind that port
 *	to D3hot and back		5.3.1.4.1; only if the function does not report that it
 *					keeps its state (QEMU's e1000e keeps it all the same)
 */
#include <drivers/pcireset.h>

#include <drivers/pci.h>

enum reset { RESET_NONE, RESET_FLR, RESET_AF, RESET_LINK, RESET_PM };

/* The port that leads to d and nothing else; NULL: there is none. */
static const struct pci_device *port_of(const struct pci_device *d)
{
	const struct pci_device *port = pci_bridge_above(d), *e;
	enum pci_express_type type;
	u8 first, last;

	if (!port || !port->pcie || !pci_list_is_whole())
		return NULL;
	type = pci_express_type(port);
	if (type != PCI_EXPRESS_ROOT_PORT && type != PCI_EXPRESS_DOWNSTREAM)
		return NULL;
	first = pci_read8(port, PCI_SECONDARY_BUS);
	last = pci_read8(port, PCI_SUBORDINATE_BUS);
	for (u32 i = 0; (e = pci_device_at(i)); i++)
		if (e != d && e->id.segment == d->id.segment && e->id.bdf >> 8 >= first &&
		    e->id.bdf >> 8 <= last)
			return NULL;
	return port;
}

static enum reset find_reset(const struct pci_device *d)
{
	/* A reset would remove its virtual functions, which other domains may own. */
	if (d->nr_virtual)
		return RESET_NONE;
	if (d->pcie && (pci_read32(d, d->pcie + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR))
		return RESET_FLR;
	if (d->af && (pci_read8(d, d->af + PCI_AF_CAP) & PCI_AF_CAP_FLR))
		return RESET_AF;
	if (port_of(d))
		return RESET_LINK;
	if (d->pm && !(pci_read16(d, d->pm + PCI_PM_CTRL) & PCI_PM_CTRL_NO_SOFT_RESET))
		return RESET_PM;
	return RESET_NONE;
}

const char *pci_reset_method(const struct pci_device *d)
{
	static const char *const names[] = {
		[RESET_FLR] = "function-level reset",
		[RESET_AF] = "AF function-level reset",
		[RESET_LINK] = "hot reset",
		[RESET_PM] = "power state D3hot",
	};

	return names[find_reset(d)];
}

static void set_link_reset(const struct pci_device *port, bool on)
{
	u16 control = pci_read16(port, PCI_BRIDGE_CONTROL);

	if (on)
		control |= PCI_BRIDGE_CONTROL_RESET;
	else
		control &= (u16)~PCI_BRIDGE_CONTROL_RESET;
	pci_write16(port, PCI_BRIDGE_CONTROL, control);
}

static void set_power_state(const struct pci_device *d, u16 state)
{
	u16 control = pci_read16(d, d->pm + PCI_PM_CTRL);

	pci_write16(d, d->pm + PCI_PM_CTRL, (u16)((control & ~PCI_PM_CTRL_STATE) | state));
}

bool pci_reset_start(struct pci_device *d)
{
	u64 control;

	/* It includes the packet size that the path to the function can take. */
	d->device_control = d->pcie ? pci_read16(d, d->pcie + PCI_EXP_DEVCTL) : 0;
	switch (find_reset(d)) {
	case RESET_FLR:
		control = d->device_control | PCI_EXP_DEVCTL_FLR;
		pci_write16(d, d->pcie + PCI_EXP_DEVCTL, (u16)control);
		return true;
	case RESET_AF:
		pci_write8(d, d->af + PCI_AF_CTRL, PCI_AF_CTRL_FLR);
		return true;
	case RESET_LINK:
		d->link_is_reset = true;
		set_link_reset(port_of(d), true);
		return true;
	case RESET_PM:
		set_power_state(d, PCI_PM_CTRL_STATE_D3HOT);
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
		set_power_state(d, PCI_PM_CTRL_STATE_D0);
	pci_write16(d, PCI_COMMAND, 0);
	if (d->pcie)
		pci_write16(d, d->pcie + PCI_EXP_DEVCTL, d->device_control);
	for (u32 i = 0; i < PCI_BARS; i++) {
		/* A virtual function's BARs are in its physical function's capability. */
		if (!d->bar[i].size || d->physical)
			continue;
		pci_write32(d, PCI_BAR0 + 4 * i, (u32)d->bar[i].base);
		if (d->bar[i].is64)
			pci_write32(d, PCI_BAR0 + 4 * i + 4, (u32)(d->bar[i].base >> 32));
	}
	return true;
}
