/* Driver for the 82574, with one receive and one transmit queue. Interrupts only wake the main
 * loop: the first one of a burst disables receive and transmit interrupts, and the first poll that
 * finds no frames enables them again. */
#include <userland/drivers/e1000e.h>

#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <userland/drivers/e1000e_rings.h>

#define INT_QUEUES (INT_RXQ0 | INT_TXQ0 | INT_TXDW | INT_RXDMT0 | INT_RXO | INT_RXT0)
/* In MSI-X mode the link's cause arrives as one of the "other" ones. */
#define INT_LINK (INT_LSC | INT_OTHER)
#define EITR_UNITS_25US 98u /* of 256 ns */

#define VECTOR_QUEUES 0
#define VECTOR_OTHER 1

#define RESET_TRIES 800
#define RESET_STEP_US 100

/* --- interrupts ----------------------------------------------------------- */

static void queues_interrupt(void *arg)
{
	struct e1000e *e = arg;

	reg_write(e, IMC, INT_QUEUES);
	e->net.pending = true;
	e->net.counters.interrupts++;
}

static void other_interrupt(void *arg)
{
	struct e1000e *e = arg;

	/* Off until poll() has handled it, so that a cause that persists does not interrupt
	 * again and again. */
	reg_write(e, IMC, INT_LINK);
	e->link_event = true;
	e->net.pending = true;
	e->net.counters.interrupts++;
}

/* MSI has one message for all causes. */
static void any_interrupt(void *arg)
{
	struct e1000e *e = arg;

	if (reg_read(e, ICR) & INT_LSC)
		e->link_event = true;
	queues_interrupt(e);
}

static void interrupts_choose(struct e1000e *e)
{
	volatile struct pci_msix_entry *table;
	const char *wanted = option("interrupts");
	u32 vectors = pci_msix_table(&e->pci, &table);

	if (vectors > VECTOR_OTHER && !(wanted && !strcmp(wanted, "msi"))) {
		e->queues_vector = interrupt_allocate(queues_interrupt, e);
		e->other_vector = interrupt_allocate(other_interrupt, e);
		e->net.interrupt_kind = "MSI-X";
	} else {
		e->queues_vector = interrupt_allocate(any_interrupt, e);
		e->net.interrupt_kind = "MSI";
	}
}

static int interrupts_init(struct e1000e *e)
{
	volatile struct pci_msix_entry *table;

	if (e->other_vector) {
		if (pci_msix_table(&e->pci, &table) <= VECTOR_OTHER)
			return -ENODEV;
		pci_msix_set(table, VECTOR_QUEUES, e->queues_vector);
		pci_msix_set(table, VECTOR_OTHER, e->other_vector);
		pci_msix_enable(&e->pci);
		reg_write(e, CTRL_EXT, reg_read(e, CTRL_EXT) | CTRL_EXT_PBA_SUPPORT);
		reg_write(e, IVAR,
			  IVAR_RXQ0(VECTOR_QUEUES) | IVAR_TXQ0(VECTOR_QUEUES) |
				  IVAR_OTHER(VECTOR_OTHER));
		reg_write(e, EIAC, INT_RXQ0 | INT_TXQ0 | INT_OTHER);
	} else if (!pci_msi_enable(&e->pci, e->queues_vector)) {
		return -ENODEV;
	}
	reg_write(e, EITR0, EITR_UNITS_25US);
	return 0;
}

static void link_update(struct e1000e *e)
{
	static const u32 mbps[4] = { 10, 100, 1000, 1000 };
	u32 status = reg_read(e, STATUS);
	bool up = status & STATUS_LU;

	e->net.link_mbps = up ? mbps[FIELD_GET(STATUS_SPEED, status)] : 0;
	if (up == e->net.link_up)
		return;
	e->net.link_up = up;
	if (e->net.link_changed)
		e->net.link_changed(&e->net);
}

/* --- the device ----------------------------------------------------------- */

static u32 poll(struct netdev *dev, u32 budget)
{
	struct e1000e *e = to_e1000e(dev);
	u32 done = 0;

	dev->counters.polls++;
	dev->pending = false;
	/* Causes that occur from here on raise an interrupt once interrupts are enabled. */
	reg_write(e, ICR, INT_QUEUES);
	if (e->link_event) {
		e->link_event = false;
		/* Clear before reading STATUS, so that a later change raises a new interrupt. */
		reg_write(e, ICR, ~INT_QUEUES);
		link_update(e);
		reg_write(e, IMS, INT_LINK);
	}
	e1000e_tx_reclaim(e);
	while (done < budget && e1000e_rx_ready(e)) {
		read_barrier();
		e1000e_rx_one(e);
		if (++done % RX_REFILL_BATCH == 0)
			e1000e_rx_refill(e);
	}
	e1000e_rx_refill(e);
	e1000e_rx_tell(e);
	if (!done)
		reg_write(e, IMS, INT_QUEUES);
	return done;
}

static int start(struct netdev *dev)
{
	struct e1000e *e = to_e1000e(dev);

	if (!dev->receive || !dev->sent)
		return -EINVAL;
	link_update(e);
	reg_write(e, RCTL, RCTL_EN | RCTL_MPE | RCTL_BAM | RCTL_BSIZE_2048 | RCTL_SECRC);
	reg_write(e, TCTL, TCTL_EN | TCTL_PSP | TCTL_CT(15) | TCTL_COLD(63));
	e1000e_rx_refill(e);
	e1000e_rx_tell(e);
	(void)reg_read(e, ICR);
	reg_write(e, IMS, INT_QUEUES | INT_LINK);
	return 0;
}

static void read_counters(struct netdev *dev)
{
	struct e1000e *e = to_e1000e(dev);

	/* These are cleared by reading. */
	dev->counters.rx_missed += reg_read(e, MPC);
	dev->counters.rx_errors += reg_read(e, CRCERRS) + reg_read(e, RLEC);
}

static bool wait_clear(const struct e1000e *e, u32 reg, u64 bits)
{
	for (u32 i = 0; i < RESET_TRIES; i++) {
		if (!(reg_read(e, reg) & bits))
			return true;
		delay_us(RESET_STEP_US);
	}
	return false;
}

/* 4.6.3: disable interrupts and DMA, wait until DMA has stopped, reset, and disable interrupts
 * again. */
static bool reset(struct e1000e *e)
{
	reg_write(e, IMC, INT_ALL);
	reg_write(e, RCTL, 0);
	reg_write(e, TCTL, TCTL_PSP);
	reg_write(e, CTRL, reg_read(e, CTRL) | CTRL_GIO_MASTER_DISABLE);
	if (!wait_clear(e, STATUS, STATUS_GIO_MASTER_ENABLE))
		print("%s: DMA does not stop; resetting it anyway\n", e->net.name);
	reg_write(e, CTRL, reg_read(e, CTRL) | CTRL_RST);
	delay_us(1000);
	if (!wait_clear(e, CTRL, CTRL_RST))
		return false;
	reg_write(e, IMC, INT_ALL);
	(void)reg_read(e, ICR);
	reg_write(e, CTRL,
		  (reg_read(e, CTRL) | CTRL_SLU) &
			  ~(CTRL_FRCSPD | CTRL_FRCDPLX | CTRL_GIO_MASTER_DISABLE));
	reg_write(e, CTRL_EXT, reg_read(e, CTRL_EXT) | CTRL_EXT_DRV_LOAD);
	return true;
}

/* The MAC address, which the device has loaded from its NVM. */
static bool read_mac(struct e1000e *e)
{
	u32 low = reg_read(e, RAL0), high = reg_read(e, RAH0);
	u8 *mac = e->net.mac;

	for (u32 i = 0; i < 4; i++)
		mac[i] = (u8)(low >> (8 * i));
	mac[4] = (u8)high;
	mac[5] = (u8)(high >> 8);
	return (high & RAH_AV) && !(mac[0] & 1) && (low || (high & 0xffff));
}

/* Reset the device and set up its rings, ready for start(). Errors are printed. */
static bool setup(struct e1000e *e, const struct pci_device *pci)
{
	u64 bar = pci_bar(pci, 0);

	e->pci = *pci;
	snprintf(e->net.name, sizeof(e->net.name), "82574L at %02x:%02x.%x", pci->bus, pci->device,
		 pci->function);
	if (!bar) {
		print("%s: BAR 0 has no address; not used\n", e->net.name);
		return false;
	}
	/* The device may still have the rings of a previous owner, whose addresses mean something
	 * else here. So no DMA before the reset. */
	pci_write16(pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	e->regs = (volatile void *)bar;
	if (!reset(e)) {
		print("%s: its reset does not complete; not used\n", e->net.name);
		return false;
	}
	pci_write16(pci, PCI_COMMAND,
		    PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER | PCI_COMMAND_INTX_DISABLE);
	if (!read_mac(e)) {
		print("%s: no usable Ethernet address in its NVM; not used\n", e->net.name);
		return false;
	}
	if (!e->queues_vector)
		interrupts_choose(e);
	if (interrupts_init(e)) {
		print("%s: neither MSI-X nor MSI; not used\n", e->net.name);
		return false;
	}
	if (!e->rx) {
		e1000e_rx_allocate(e);
		e1000e_tx_allocate(e);
	}
	e1000e_rx_reset(e);
	e1000e_tx_reset(e);
	return true;
}

/* The device responds and is still set up; one that was removed and added again is not. */
static bool present(const struct netdev *dev)
{
	const struct e1000e *e = container_of(dev, struct e1000e, net);

	return pci_read16(&e->pci, 0) == E1000E_VENDOR &&
	       (pci_read16(&e->pci, PCI_COMMAND) & PCI_COMMAND_BUS_MASTER);
}

static bool find_same(const struct pci_device *pci, void *ctx)
{
	struct pci_device *wanted = ctx;

	if (pci->vendor != wanted->vendor || pci->id != wanted->id)
		return false;
	*wanted = *pci;
	return true;
}

static bool restart(struct netdev *dev)
{
	struct e1000e *e = to_e1000e(dev);
	struct pci_device pci = e->pci;

	return pci_for_each(find_same, &pci) && setup(e, &pci) && !start(dev);
}

static const struct netdev_ops e1000e_ops = {
	.transmit = e1000e_transmit,
	.poll = poll,
	.recycle = e1000e_rx_recycle,
	.start = start,
	.read_counters = read_counters,
	.present = present,
	.restart = restart,
};

struct netdev *e1000e_probe(const struct pci_device *pci)
{
	struct e1000e *e = heap_take(sizeof(*e), 64);

	e->net.ops = &e1000e_ops;
	e->net.mtu = 1500;
	e->net.offloads = NET_TX_CSUM_IPV4 | NET_TX_CSUM_L4 | NET_RX_CSUM;
	e->net.max_segments = TX_MAX_SEGMENTS;
	return setup(e, pci) ? &e->net : NULL;
}
