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
#include <drivers/pciacs.h>
#include <drivers/pcipresence.h>
#include <kernel/core/log.h>

/* How long to wait for answers to requests that are under way. Most functions give up after 50 ms
 * (7.5.3.16). */
#define PENDING_MS 1000u
#define LONGEST_PAUSE_MS 1000u

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

/* A function that is reset while answers to its requests are under way may take one of them for
 * the answer to a request that it makes afterwards (6.6.2). */
static bool has_requests_pending(const struct pci_device *d)
{
	if (d->pcie)
		return pci_read16(d, d->pcie + PCI_EXP_DEVSTA) & PCI_EXP_DEVSTA_PENDING;
	return d->af && pci_read8(d, d->af + PCI_AF_STATUS) & PCI_AF_STATUS_PENDING;
}

static void enter_phase(struct pci_device *d, enum pci_reset_phase phase)
{
	d->reset.phase = phase;
	d->reset.waited_ms = 0;
}

static void trigger(struct pci_device *d)
{
	u64 control = d->device_control | PCI_EXP_DEVCTL_FLR;

	enter_phase(d, PCI_RESET_STARTED);
	switch ((enum reset)d->reset.method) {
	case RESET_FLR:
		pci_write16(d, d->pcie + PCI_EXP_DEVCTL, (u16)control);
		break;
	case RESET_AF:
		pci_write8(d, d->af + PCI_AF_CTRL, PCI_AF_CTRL_FLR);
		break;
	case RESET_LINK:
		set_link_reset(port_of(d), true);
		break;
	case RESET_PM:
		set_power_state(d, PCI_PM_CTRL_STATE_D3HOT);
		break;
	case RESET_NONE:
		break;
	}
}

bool pci_reset_start(struct pci_device *d)
{
	enter_phase(d, PCI_RESET_ASKING);
	d->reset.lost = false;
	/* It includes the packet size that the path to the function can take. */
	d->device_control = d->pcie ? pci_read16(d, d->pcie + PCI_EXP_DEVCTL) : 0;
	d->reset.method = find_reset(d);
	if (d->reset.method == RESET_NONE)
		return false;
	if (has_requests_pending(d))
		enter_phase(d, PCI_RESET_PENDING);
	else
		trigger(d);
	return true;
}

/* False: this was only the first half of the reset. The function itself may not answer now. */
static bool end_first_half(struct pci_device *d)
{
	switch (d->reset.method) {
	case RESET_LINK:
		set_link_reset(port_of(d), false);
		return false;
	case RESET_PM:
		set_power_state(d, PCI_PM_CTRL_STATE_D0);
		return false;
	default:
		return true;
	}
}

static void restore(struct pci_device *d)
{
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
	pci_acs_isolate(d);
}

static enum pci_reset_result wait(struct pci_device *d, u32 ms, u64 *ns)
{
	d->reset.waited_ms += ms;
	*ns = ms * 1000000UL;
	return PCI_RESET_WAIT;
}

/* Ask at longer and longer intervals. */
static enum pci_reset_result ask(struct pci_device *d, u64 *ns)
{
	u32 ms = MAX(d->reset.waited_ms, PCI_RESET_MS);

	if (pci_answers(d)) {
		restore(d);
		enter_phase(d, PCI_RESET_IDLE);
		return PCI_RESET_DONE;
	}
	if (d->reset.waited_ms < PCI_RESET_READY_MS)
		return wait(d, MIN(ms, LONGEST_PAUSE_MS), ns);
	enter_phase(d, PCI_RESET_IDLE);
	d->reset.lost = true;
	return PCI_RESET_LOST;
}

enum pci_reset_result pci_reset_step(struct pci_device *d, u64 *ns)
{
	char name[16];

	*ns = 0;
	switch (d->reset.phase) {
	case PCI_RESET_PENDING:
		if (has_requests_pending(d) && d->reset.waited_ms < PENDING_MS)
			return wait(d, PCI_RESET_MS, ns);
		if (has_requests_pending(d))
			log_warn("pci: %s says that requests are pending %u ms after its bus "
				 "mastering was switched off: it is reset all the same",
				 pci_name(d->id, name), PENDING_MS);
		trigger(d);
		return wait(d, PCI_RESET_MS, ns);
	case PCI_RESET_STARTED:
		enter_phase(d, PCI_RESET_ASKING);
		if (!end_first_half(d)) {
			*ns = PCI_RESET_NS;
			return PCI_RESET_WAIT;
		}
		return ask(d, ns);
	case PCI_RESET_ASKING:
		return ask(d, ns);
	case PCI_RESET_IDLE:
		break;
	}
	return d->reset.lost ? PCI_RESET_LOST : PCI_RESET_DONE;
}

bool pci_reset_is_slow(const struct pci_device *d)
{
	return d->reset.phase == PCI_RESET_ASKING && d->reset.waited_ms >= PCI_RESET_SLOW_MS;
}
