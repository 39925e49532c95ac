/* Driver for the 82574. One receive and one transmit queue. Interrupts are for waking up only: the
 * first one of a burst turns receive and transmit interrupts off, and the poll that finds nothing
 * more turns them on again. */
#include <userland/drivers/e1000e.h>

#include <userland/drivers/e1000e_regs.h>
#include <userland/drivers/offload.h>
#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <userland/runtime/mmio.h>

#define RX_RING 256u
#define TX_RING 1024u
#define RX_BUFFERS (RX_RING + 1024u) /* the ring stays full while the stack holds up to 1024 */
#define RX_BUFFER_BYTES 2048u
#define RX_REFILL_BATCH 16u /* descriptors per write of RDT */
#define TX_MAX_SEGMENTS 16u
/* A frame takes a descriptor for each segment and one for the context; the ring is never filled
 * completely, for TDH = TDT means empty (7.2.4). */
#define TX_RESERVE 1u

#define INT_QUEUES (INT_RXQ0 | INT_TXQ0 | INT_TXDW | INT_RXDMT0 | INT_RXO | INT_RXT0)
/* In MSI-X mode the link's cause arrives as one of the "other" ones. */
#define INT_LINK (INT_LSC | INT_OTHER)
#define EITR_UNITS_25US 98u /* of 256 ns */

#define VECTOR_QUEUES 0
#define VECTOR_OTHER 1

#define RESET_TRIES 800
#define RESET_STEP_US 100

struct e1000e {
	struct netdev net;
	struct pci_device pci;
	volatile void *regs;
	u8 queues_vector, other_vector; /* other: with MSI-X only */
	volatile bool link_event;

	struct rx_desc *rx;
	struct netbuf *rx_buffer[RX_RING];
	u32 rx_next, rx_fill; /* free running: next to be looked at, next to be given to the device */
	u32 rx_told; /* rx_fill as RDT has it */
	bool rx_dropping; /* until the end of a frame that needs more than one buffer */
	struct netbuf *rx_free;

	struct tx_desc *tx;
	struct {
		void *token;
		bool last; /* of its frame */
	} tx_slot[TX_RING];
	u32 tx_next, tx_clean; /* free running */
	struct tx_desc tx_context; /* what the device has loaded */
	bool tx_context_loaded;
};

static struct e1000e *to_e1000e(struct netdev *dev)
{
	return container_of(dev, struct e1000e, net);
}

static u32 reg_read(const struct e1000e *e, u32 reg)
{
	return mmio_read32((const volatile u8 *)e->regs + reg);
}

static void reg_write(struct e1000e *e, u32 reg, u64 value)
{
	mmio_write32((volatile u8 *)e->regs + reg, (u32)value);
}

/* --- Interrupts ------------------------------------------------------------------------------------------------------- */

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

	/* until poll() has looked: a cause that stays must not interrupt for ever */
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

/* --- Receive ---------------------------------------------------------------------------------------------------------- */

static void rx_tell(struct e1000e *e)
{
	if (e->rx_told == e->rx_fill)
		return;
	write_barrier();
	reg_write(e, RDT0, e->rx_fill % RX_RING);
	e->rx_told = e->rx_fill;
}

/* Give free buffers to the device. One descriptor always stays with the driver: RDH = RDT means
 * none left (7.1.9). */
static void rx_refill(struct e1000e *e)
{
	while (e->rx_free && e->rx_fill - e->rx_next < RX_RING - 1) {
		struct netbuf *b = e->rx_free;
		u32 slot = e->rx_fill % RX_RING;

		e->rx_free = b->next;
		e->rx_buffer[slot] = b;
		e->rx[slot].address = (u64)b->data;
		e->rx[slot].status_error = 0;
		e->rx[slot].length = 0;
		e->rx_fill++;
		if (e->rx_fill - e->rx_told >= RX_REFILL_BATCH)
			rx_tell(e);
	}
}

static void recycle(struct netdev *dev, struct netbuf *buffer)
{
	struct e1000e *e = to_e1000e(dev);

	buffer->next = e->rx_free;
	e->rx_free = buffer;
	/* Nothing may ever arrive to cause the next poll if the device has run out of buffers. */
	if (e->rx_fill - e->rx_next < RX_RING / 2) {
		rx_refill(e);
		rx_tell(e);
	}
}

static bool rx_checksum_good(const struct netbuf *b, u64 status)
{
	bool ipv4 = b->data[12] == 0x08 && b->data[13] == 0x00;

	return (status & RX_L4CS) && !(status & (RX_IXSM | RX_CHECKSUM_ERRORS)) &&
	       (!ipv4 || (status & RX_IPCS));
}

static bool rx_ready(const struct e1000e *e)
{
	return e->rx_next != e->rx_fill &&
	       (((volatile struct rx_desc *)e->rx)[e->rx_next % RX_RING].status_error & RX_DD);
}

static void rx_one(struct e1000e *e)
{
	u32 slot = e->rx_next % RX_RING;
	struct netbuf *b = e->rx_buffer[slot];
	u64 status = e->rx[slot].status_error;

	b->length = e->rx[slot].length;
	e->rx_next++;
	if (e->rx_dropping || !(status & RX_EOP) || (status & RX_FRAME_ERRORS) ||
	    b->length < ETH_HEADER_BYTES || b->length > RX_BUFFER_BYTES) {
		if (!e->rx_dropping)
			e->net.counters.rx_errors++;
		e->rx_dropping = !(status & RX_EOP);
		recycle(&e->net, b);
		return;
	}
	b->checksum_good = rx_checksum_good(b, status);
	e->net.counters.rx_packets++;
	e->net.counters.rx_bytes += b->length;
	e->net.receive(&e->net, b);
}

static void rx_allocate(struct e1000e *e)
{
	struct netbuf *buffers = heap_take(RX_BUFFERS * sizeof(*buffers), 64);
	u8 *memory = heap_take((size_t)RX_BUFFERS * RX_BUFFER_BYTES, PAGE_SIZE);

	e->rx = heap_take(RX_RING * sizeof(*e->rx), PAGE_SIZE);
	for (u32 i = RX_BUFFERS; i-- > 0;) {
		buffers[i].dev = &e->net;
		buffers[i].data = memory + (size_t)i * RX_BUFFER_BYTES;
		buffers[i].next = e->rx_free;
		e->rx_free = &buffers[i];
	}
}

/* Empty ring: what the device had goes back to the pool. */
static void rx_init(struct e1000e *e)
{
	for (; e->rx_next != e->rx_fill; e->rx_next++) {
		struct netbuf *b = e->rx_buffer[e->rx_next % RX_RING];

		b->next = e->rx_free;
		e->rx_free = b;
	}
	e->rx_next = e->rx_fill = e->rx_told = 0;
	e->rx_dropping = false;
	reg_write(e, RDBAL0, (u64)e->rx);
	reg_write(e, RDBAH0, (u64)e->rx >> 32);
	reg_write(e, RDLEN0, RX_RING * sizeof(*e->rx));
	reg_write(e, RDH0, 0);
	reg_write(e, RDT0, 0);
	reg_write(e, RXDCTL0, RXDCTL_GRAN | RXDCTL_WTHRESH(1));
	reg_write(e, RFCTL, RFCTL_EXSTEN | RFCTL_ACK_DIS);
	reg_write(e, RXCSUM, RXCSUM_IPOFLD | RXCSUM_TUOFLD | RXCSUM_PCSD);
	for (u32 i = 0; i < 128; i++)
		reg_write(e, MTA + 4 * i, 0);
}

/* --- Transmit --------------------------------------------------------------------------------------------------------- */

static u32 tx_space(const struct e1000e *e)
{
	return TX_RING - TX_RESERVE - (e->tx_next - e->tx_clean);
}

static void tx_reclaim(struct e1000e *e)
{
	/* The device reports whole frames (RS stands in their last descriptor). */
	while (e->tx_clean != e->tx_next) {
		u32 last = e->tx_clean;

		while (!e->tx_slot[last % TX_RING].last)
			last++;
		if (!(((volatile struct tx_desc *)e->tx)[last % TX_RING].status & TX_DD))
			break;
		e->tx_slot[last % TX_RING].last = false;
		e->tx_clean = last + 1;
		e->net.sent(&e->net, e->tx_slot[last % TX_RING].token);
	}
}

static struct tx_desc *tx_take(struct e1000e *e)
{
	u32 slot = e->tx_next++ % TX_RING;

	e->tx_slot[slot].last = false;
	return &e->tx[slot];
}

static bool same_context(const struct tx_desc *a, const struct tx_desc *b)
{
	return a->address == b->address && a->command == b->command;
}

/* Load the checksum context for this frame unless the device has it already (7.2.6); returns
 * POPTS. */
static u32 tx_checksum(struct e1000e *e, const struct net_segment *head, u32 offload)
{
	u8 *frame = (u8 *)(uintptr_t)head->data;
	struct tx_desc context = { .command = TX_TYPE_CONTEXT | (u32)TX_DEXT, .status = 0 };
	struct net_headers h;
	u32 popts = 0;

	if (!net_parse(frame, head->length, &h))
		return 0;
	context.address = 0;
	context.ipcss = h.l3;
	context.ipcso = (u8)(h.l3 + 10);
	context.ipcse = (u16)(h.l4 - 1);
	context.tucss = h.l4;
	context.tucso = h.protocol ? h.checksum : h.l4;
	if (h.ipv4) {
		context.command |= TX_TUCMD_IP;
		if (offload & NET_TX_CSUM_IPV4) {
			frame[h.l3 + 10] = 0;
			frame[h.l3 + 11] = 0;
			popts |= TX_IXSM;
		}
	}
	if ((offload & NET_TX_CSUM_L4) && h.protocol) {
		if (h.protocol == IP_PROTOCOL_TCP)
			context.command |= TX_TUCMD_TCP;
		net_seed_checksum(frame, &h);
		popts |= TX_TXSM;
	}
	if (!popts || (e->tx_context_loaded && same_context(&context, &e->tx_context)))
		return popts;
	*tx_take(e) = context;
	e->tx_context = context;
	e->tx_context_loaded = true;
	return popts;
}

static int transmit(struct netdev *dev, const struct net_segment *segment, u32 segments,
		    u32 offload, void *token)
{
	struct e1000e *e = to_e1000e(dev);
	u32 popts, bytes = 0, slot;

	if (!segments || segments > TX_MAX_SEGMENTS)
		return -EINVAL;
	if (tx_space(e) < segments + 1) {
		tx_reclaim(e);
		if (tx_space(e) < segments + 1) {
			dev->counters.tx_full++;
			return -EAGAIN;
		}
	}
	popts = offload & (NET_TX_CSUM_IPV4 | NET_TX_CSUM_L4) ? tx_checksum(e, &segment[0], offload) :
								0;
	for (u32 i = 0; i < segments; i++) {
		struct tx_desc *d = tx_take(e);
		u32 command = segment[i].length | TX_TYPE_DATA | (u32)(TX_DEXT | TX_IFCS);

		if (i == segments - 1)
			command |= TX_EOP | TX_RS;
		d->address = (u64)segment[i].data;
		d->command = command;
		d->status = popts;
		bytes += segment[i].length;
	}
	slot = (e->tx_next - 1) % TX_RING;
	e->tx_slot[slot].token = token;
	e->tx_slot[slot].last = true;
	write_barrier();
	reg_write(e, TDT0, e->tx_next % TX_RING);
	dev->counters.tx_packets++;
	dev->counters.tx_bytes += bytes;
	return 0;
}

/* Empty ring: what was in it is lost. */
static void tx_init(struct e1000e *e)
{
	for (; e->tx_clean != e->tx_next; e->tx_clean++)
		if (e->tx_slot[e->tx_clean % TX_RING].last)
			e->net.sent(&e->net, e->tx_slot[e->tx_clean % TX_RING].token);
	e->tx_next = e->tx_clean = 0;
	e->tx_context_loaded = false;
	reg_write(e, TDBAL0, (u64)e->tx);
	reg_write(e, TDBAH0, (u64)e->tx >> 32);
	reg_write(e, TDLEN0, TX_RING * sizeof(*e->tx));
	reg_write(e, TDH0, 0);
	reg_write(e, TDT0, 0);
	reg_write(e, TXDCTL0, TXDCTL_GRAN | TXDCTL_COUNT_DESC | TXDCTL_WTHRESH(1));
	reg_write(e, TIPG, TIPG_COPPER);
}

/* --- The device ------------------------------------------------------------------------------------------------------- */

static u32 poll(struct netdev *dev, u32 budget)
{
	struct e1000e *e = to_e1000e(dev);
	u32 done = 0;

	dev->counters.polls++;
	dev->pending = false;
	/* Causes from here on raise an interrupt when they are enabled again. */
	reg_write(e, ICR, INT_QUEUES);
	if (e->link_event) {
		e->link_event = false;
		/* before the look at STATUS: a change after it raises a new interrupt */
		reg_write(e, ICR, ~INT_QUEUES);
		link_update(e);
		reg_write(e, IMS, INT_LINK);
	}
	tx_reclaim(e);
	while (done < budget && rx_ready(e)) {
		read_barrier();
		rx_one(e);
		if (++done % RX_REFILL_BATCH == 0)
			rx_refill(e);
	}
	rx_refill(e);
	rx_tell(e);
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
	rx_refill(e);
	rx_tell(e);
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

/* 4.6.3: quiet the device, wait for its DMA to end, reset, and quiet it again. */
static bool reset(struct e1000e *e)
{
	reg_write(e, IMC, INT_ALL);
	reg_write(e, RCTL, 0);
	reg_write(e, TCTL, TCTL_PSP);
	reg_write(e, CTRL, reg_read(e, CTRL) | CTRL_GIO_MASTER_DISABLE);
	if (!wait_clear(e, STATUS, STATUS_GIO_MASTER_ENABLE))
		print("%s: DMA does not come to rest; resetting all the same\n", e->net.name);
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

/* The address that the device has loaded from its NVM. */
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

/* From the function on the bus to rings that wait for start(). What is wrong is printed. */
static bool setup(struct e1000e *e, const struct pci_device *pci)
{
	u64 bar = pci_bar(pci, 0);

	e->pci = *pci;
	snprintf(e->net.name, sizeof(e->net.name), "82574L at %02x:%02x.%x", pci->bus, pci->device,
		 pci->function);
	if (!bar) {
		print("%s: BAR 0 has no address; left alone\n", e->net.name);
		return false;
	}
	/* It may still have the rings of another owner, at addresses that mean something else here: no DMA before the reset. */
	pci_write16(pci, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_INTX_DISABLE);
	e->regs = (volatile void *)bar;
	if (!reset(e)) {
		print("%s: does not come out of its reset; left alone\n", e->net.name);
		return false;
	}
	pci_write16(pci, PCI_COMMAND,
		    PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER | PCI_COMMAND_INTX_DISABLE);
	if (!read_mac(e)) {
		print("%s: has no usable Ethernet address in its NVM; left alone\n", e->net.name);
		return false;
	}
	if (!e->queues_vector)
		interrupts_choose(e);
	if (interrupts_init(e)) {
		print("%s: has neither MSI-X nor MSI; left alone\n", e->net.name);
		return false;
	}
	if (!e->rx) {
		rx_allocate(e);
		e->tx = heap_take(TX_RING * sizeof(*e->tx), PAGE_SIZE);
	}
	rx_init(e);
	tx_init(e);
	return true;
}

/* It answers, and is set up as we left it: one that left and came back meanwhile is not. */
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
	.transmit = transmit,
	.poll = poll,
	.recycle = recycle,
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
