/* Driver for virtio-net. One receive and one transmit queue, each buffer a frame of its own. Interrupts are for waking up only,
 * as in the 82574's driver: the first one of a burst turns them off, and the poll that finds nothing more turns them on again. */
#include <drivers/net/virtio.h>

#include <drivers/net/offload.h>
#include <drivers/net/virtio_regs.h>
#include <drivers/net/virtqueue.h>
#include <kernel/errno.h>
#include <kernel/string.h>
#include <userland/runtime/cpu.h>

#define RX_BUFFERS                                                                                 \
	(VIRTQUEUE_MAX + 1024u) /* the queue stays full while the stack holds up to 1024 */
#define RX_BUFFER_BYTES 2048u
#define TX_MAX_SEGMENTS 16u

#define WANTED                                                                                     \
	(VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS |    \
	 VIRTIO_NET_F_SPEED_DUPLEX)
#define NEEDED (VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM)

#define VECTOR_QUEUES 0
#define VECTOR_CONFIG 1

#define RESET_TRIES 1000
#define RESET_STEP_US 100

struct queue {
	struct virtqueue ring;
	volatile void *notify;
};

/* What the device reads in front of a frame, for each that may be under way. */
struct tx_slot {
	struct virtio_net_header header;
	void *token;
	struct tx_slot *next;
};

struct virtio_net {
	struct netdev net;
	struct pci_device pci;
	volatile struct virtio_common *common;
	volatile struct virtio_net_config *config;
	u64 features;
	u8 queues_vector, config_vector;
	volatile bool config_event;

	struct queue rx, tx;
	struct netbuf *rx_free;
	struct tx_slot *tx_free;
};

static struct virtio_net *to_virtio(struct netdev *dev)
{
	return container_of(dev, struct virtio_net, net);
}

/* --- Interrupts ------------------------------------------------------------------------------------------------------- */

static void queues_interrupt(void *arg)
{
	struct virtio_net *v = arg;

	v->net.pending = true;
	v->net.counters.interrupts++;
}

static void config_interrupt(void *arg)
{
	struct virtio_net *v = arg;

	v->config_event = true;
	queues_interrupt(v);
}

static void interrupts_off_for_queues(struct virtio_net *v)
{
	(void)virtqueue_interrupts(&v->rx.ring, false);
	(void)virtqueue_interrupts(&v->tx.ring, false);
}

static bool interrupts_init(struct virtio_net *v)
{
	volatile u32 *table;

	if (pci_msix_table(&v->pci, &table) <= VECTOR_CONFIG)
		return false;
	if (!v->queues_vector) {
		v->queues_vector = interrupt_allocate(queues_interrupt, v);
		v->config_vector = interrupt_allocate(config_interrupt, v);
	}
	pci_msix_set(table, VECTOR_QUEUES, v->queues_vector);
	pci_msix_set(table, VECTOR_CONFIG, v->config_vector);
	pci_msix_enable(&v->pci);
	v->common->config_msix_vector = VECTOR_CONFIG;
	return v->common->config_msix_vector == VECTOR_CONFIG;
}

static void link_update(struct virtio_net *v)
{
	bool broken = v->rx.ring.broken || v->tx.ring.broken;
	bool up = !broken &&
		  (!(v->features & VIRTIO_NET_F_STATUS) || (v->config->status & VIRTIO_NET_LINK_UP));
	u32 mbps = v->features & VIRTIO_NET_F_SPEED_DUPLEX ? v->config->speed : ~0u;

	v->net.link_mbps = up && !(mbps & BIT(31)) ? mbps : 0;
	if (up == v->net.link_up)
		return;
	if (broken)
		print("%s: breaks the rules of its queues; left alone\n", v->net.name);
	v->net.link_up = up;
	if (v->net.link_changed)
		v->net.link_changed(&v->net);
}

/* --- Receive ---------------------------------------------------------------------------------------------------------- */

static void publish(struct queue *q, u16 index)
{
	if (virtqueue_publish(&q->ring))
		mmio_write16(q->notify, index);
}

/* The header lies in front of the frame, in the same buffer. */
static u8 *rx_memory(const struct netbuf *b)
{
	return b->data - sizeof(struct virtio_net_header);
}

static void rx_refill(struct virtio_net *v)
{
	while (v->rx_free && v->rx.ring.free) {
		struct netbuf *b = v->rx_free;
		struct virtqueue_buffer whole = { rx_memory(b), RX_BUFFER_BYTES };

		v->rx_free = b->next;
		if (!virtqueue_add(&v->rx.ring, &whole, 1, true, b))
			break;
	}
	publish(&v->rx, QUEUE_RECEIVE);
}

static void rx_put(struct virtio_net *v, struct netbuf *b)
{
	b->next = v->rx_free;
	v->rx_free = b;
}

static void recycle(struct netdev *dev, struct netbuf *buffer)
{
	struct virtio_net *v = to_virtio(dev);

	rx_put(v, buffer);
	/* Nothing may ever arrive to cause the next poll if the device has run out of buffers. */
	if (!dev->gone && v->rx.ring.free > v->rx.ring.size / 2)
		rx_refill(v);
}

/* The device vouches for TCP's and UDP's checksum only, or has left it to whoever forwards the frame (5.1.6.4.1); IPv4's
 * header is summed up here. */
static bool rx_checksum_good(const struct virtio_net *v, const struct netbuf *b)
{
	const struct virtio_net_header *header = (const void *)rx_memory(b);
	struct net_headers h;

	if (!(v->features & VIRTIO_NET_F_GUEST_CSUM) ||
	    !(header->flags & (HEADER_NEEDS_CSUM | HEADER_DATA_VALID)))
		return false;
	return net_parse(b->data, b->length, &h) && h.protocol &&
	       (!h.ipv4 || net_ipv4_header_good(b->data, &h));
}

static void rx_one(struct virtio_net *v, struct netbuf *b, u32 bytes)
{
	u32 header = sizeof(struct virtio_net_header);

	if (bytes < header + ETH_HEADER_BYTES || bytes > RX_BUFFER_BYTES) {
		v->net.counters.rx_errors++;
		rx_put(v, b);
		return;
	}
	b->length = (u16)(bytes - header);
	b->checksum_good = rx_checksum_good(v, b);
	v->net.counters.rx_packets++;
	v->net.counters.rx_bytes += b->length;
	v->net.receive(&v->net, b);
}

static void rx_allocate(struct virtio_net *v)
{
	struct netbuf *buffers = heap_take(RX_BUFFERS * sizeof(*buffers), 64);
	u8 *memory = heap_take((size_t)RX_BUFFERS * RX_BUFFER_BYTES, PAGE_SIZE);

	for (u32 i = RX_BUFFERS; i-- > 0;) {
		buffers[i].dev = &v->net;
		buffers[i].data = memory + (size_t)i * RX_BUFFER_BYTES +
				  sizeof(struct virtio_net_header);
		rx_put(v, &buffers[i]);
	}
}

/* --- Transmit --------------------------------------------------------------------------------------------------------- */

static void tx_put(struct virtio_net *v, struct tx_slot *slot)
{
	slot->next = v->tx_free;
	v->tx_free = slot;
}

static void tx_reclaim(struct virtio_net *v)
{
	void *slot;
	u32 bytes;

	while (virtqueue_take(&v->tx.ring, &slot, &bytes)) {
		tx_put(v, slot);
		v->net.sent(&v->net, ((struct tx_slot *)slot)->token);
	}
}

/* The device sums from checksum_start on, and adds what it finds in the field (5.1.6.2). */
static struct virtio_net_header tx_header(const struct net_segment *head, u32 offload)
{
	struct virtio_net_header header = { .flags = 0 };
	u8 *frame = (u8 *)(uintptr_t)head->data;
	struct net_headers h;

	if (!(offload & NET_TX_CSUM_L4) || !net_parse(frame, head->length, &h) || !h.protocol)
		return header;
	net_seed_checksum(frame, &h);
	header.flags = HEADER_NEEDS_CSUM;
	header.checksum_start = h.l4;
	header.checksum_offset = (u16)(h.checksum - h.l4);
	return header;
}

static int transmit(struct netdev *dev, const struct net_segment *segment, u32 segments,
		    u32 offload, void *token)
{
	struct virtqueue_buffer chain[1 + TX_MAX_SEGMENTS];
	struct virtio_net *v = to_virtio(dev);
	struct tx_slot *slot;
	u32 bytes = 0;

	if (!segments || segments > TX_MAX_SEGMENTS)
		return -EINVAL;
	if (v->tx.ring.free < segments + 1)
		tx_reclaim(v);
	if (v->tx.ring.free < segments + 1) {
		dev->counters.tx_full++;
		return -EAGAIN;
	}
	slot = v->tx_free; /* there are as many as descriptors */
	slot->header = tx_header(&segment[0], offload);
	slot->token = token;
	chain[0] = (struct virtqueue_buffer){ &slot->header, sizeof(slot->header) };
	for (u32 i = 0; i < segments; i++) {
		chain[i + 1] = (struct virtqueue_buffer){ segment[i].data, segment[i].length };
		bytes += segment[i].length;
	}
	if (!virtqueue_add(&v->tx.ring, chain, segments + 1, false, slot))
		return -EAGAIN;
	v->tx_free = slot->next;
	publish(&v->tx, QUEUE_TRANSMIT);
	dev->counters.tx_packets++;
	dev->counters.tx_bytes += bytes;
	return 0;
}

static void tx_allocate(struct virtio_net *v)
{
	struct tx_slot *slots = heap_take(VIRTQUEUE_MAX * sizeof(*slots), 64);

	for (u32 i = 0; i < VIRTQUEUE_MAX; i++)
		tx_put(v, &slots[i]);
}

/* --- The device ------------------------------------------------------------------------------------------------------- */

static u32 poll(struct netdev *dev, u32 budget)
{
	struct virtio_net *v = to_virtio(dev);
	u32 done = 0, bytes;
	void *buffer;

	dev->counters.polls++;
	dev->pending = false;
	interrupts_off_for_queues(v);
	tx_reclaim(v);
	for (; done < budget && virtqueue_take(&v->rx.ring, &buffer, &bytes); done++)
		rx_one(v, buffer, bytes);
	rx_refill(v);
	if (v->config_event || v->rx.ring.broken || v->tx.ring.broken) {
		v->config_event = false;
		link_update(v);
	}
	if (!done) {
		bool more = virtqueue_interrupts(&v->rx.ring, true);

		/* What came after the last look has raised no interrupt. */
		if (virtqueue_interrupts(&v->tx.ring, true) || more)
			dev->pending = true;
	}
	return done;
}

static int start(struct netdev *dev)
{
	struct virtio_net *v = to_virtio(dev);

	if (!dev->receive || !dev->sent)
		return -EINVAL;
	v->common->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK |
				   STATUS_DRIVER_OK;
	link_update(v);
	rx_refill(v);
	dev->pending = true; /* the first poll turns the interrupts on */
	return 0;
}

static void read_counters(struct netdev *dev)
{
	(void)dev; /* the device keeps none */
}

/* Where the registers of this kind are (the first capability with them counts, 4.1.4.1); NULL: nowhere, or there are too few bytes
 * of them. *multiplier: of the notification registers. */
static volatile void *find_registers(const struct virtio_net *v, u32 kind, u32 bytes, u32 *multiplier)
{
	u8 at = pci_find_capability(&v->pci, PCI_CAP_VENDOR);

	for (u32 n = 0; at && n < PCI_MAX_CAPABILITIES; n++) {
		u32 header = pci_read32(&v->pci, at);
		u8 bar = (u8)pci_read32(&v->pci, (u8)(at + VIRTIO_CAP_BAR));
		u64 base;

		if (header >> (8 * VIRTIO_CAP_TYPE) != kind || bar > 5) {
			at = pci_next_capability(&v->pci, at, PCI_CAP_VENDOR);
			continue;
		}
		base = pci_bar(&v->pci, bar);
		if (!base || pci_read32(&v->pci, (u8)(at + VIRTIO_CAP_LENGTH)) < bytes)
			return NULL;
		if (multiplier)
			*multiplier = pci_read32(&v->pci, (u8)(at + VIRTIO_CAP_NOTIFY_MULTIPLIER));
		return (volatile u8 *)base + pci_read32(&v->pci, (u8)(at + VIRTIO_CAP_OFFSET));
	}
	return NULL;
}

static bool reset(struct virtio_net *v)
{
	v->common->device_status = 0;
	for (u32 i = 0; i < RESET_TRIES; i++) {
		if (!v->common->device_status)
			return true;
		delay_us(RESET_STEP_US);
	}
	return false;
}

/* 3.1.1, up to the point where the device has agreed. */
static bool negotiate(struct virtio_net *v)
{
	u64 offered = 0;

	v->common->device_status = STATUS_ACKNOWLEDGE;
	v->common->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER;
	for (u32 i = 0; i < 2; i++) {
		v->common->device_feature_select = i;
		offered |= (u64)v->common->device_feature << (32 * i);
	}
	if ((offered & NEEDED) != NEEDED || !(offered & VIRTIO_NET_F_MAC))
		return false;
	v->features = offered & (WANTED | NEEDED);
	for (u32 i = 0; i < 2; i++) {
		v->common->driver_feature_select = i;
		v->common->driver_feature = (u32)(v->features >> (32 * i));
	}
	v->common->device_status = STATUS_ACKNOWLEDGE | STATUS_DRIVER | STATUS_FEATURES_OK;
	return v->common->device_status & STATUS_FEATURES_OK;
}

/* A low and a high half, each written by itself (4.1.3.1). */
static void set_address(volatile u32 half[2], const void *p)
{
	half[0] = (u32)(u64)p;
	half[1] = (u32)((u64)p >> 32);
}

/* An empty queue, and where it is notified. */
static bool queue_init(struct virtio_net *v, struct queue *q, u16 index, volatile u8 *notify,
		       u32 multiplier)
{
	volatile struct virtio_common *c = v->common;
	struct virtqueue_memory *memory = q->ring.memory;
	u16 size;

	c->queue_select = index;
	size = c->queue_size;
	if (!size || (size & (size - 1)))
		return false;
	size = MIN(size, (u16)VIRTQUEUE_MAX);
	c->queue_size = size;
	c->queue_msix_vector = VECTOR_QUEUES;
	if (c->queue_msix_vector != VECTOR_QUEUES)
		return false;
	virtqueue_init(&q->ring, memory, size);
	set_address(c->queue_desc, memory->desc);
	set_address(c->queue_driver, &memory->avail);
	set_address(c->queue_device, &memory->used);
	q->notify = notify + (size_t)c->queue_notify_off * multiplier;
	c->queue_enable = 1;
	return true;
}

/* What a device that was reset had goes back; what was to be sent is lost. */
static void take_back(struct virtio_net *v)
{
	struct tx_slot *slot;
	struct netbuf *b;

	while ((b = virtqueue_drop(&v->rx.ring)))
		rx_put(v, b);
	while ((slot = virtqueue_drop(&v->tx.ring))) {
		tx_put(v, slot);
		v->net.sent(&v->net, slot->token);
	}
}

static const char *try_setup(struct virtio_net *v)
{
	volatile u8 *notify;
	u32 multiplier;

	v->common = find_registers(v, VIRTIO_CAP_COMMON, sizeof(*v->common), NULL);
	v->config = find_registers(v, VIRTIO_CAP_DEVICE, sizeof(*v->config), NULL);
	notify = find_registers(v, VIRTIO_CAP_NOTIFY, 2, &multiplier);
	if (!v->common || !v->config || !notify)
		return "lacks registers of virtio 1";
	pci_write16(&v->pci, PCI_COMMAND,
		    PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	if (!reset(v))
		return "does not come out of its reset";
	if (!negotiate(v))
		return "does not offer VERSION_1, ACCESS_PLATFORM and MAC, or refuses them";
	if (!interrupts_init(v))
		return "has not got two MSI-X vectors";
	take_back(v);
	if (!queue_init(v, &v->rx, QUEUE_RECEIVE, notify, multiplier) ||
	    !queue_init(v, &v->tx, QUEUE_TRANSMIT, notify, multiplier))
		return "has no usable queues";
	return NULL;
}

/* From the function on the bus to queues that wait for start(). What is wrong is printed. */
static bool setup(struct virtio_net *v, const struct pci_device *pci)
{
	const char *wrong;

	v->pci = *pci;
	snprintf(v->net.name, sizeof(v->net.name), "virtio-net at %02x:%02x.%x", pci->bus,
		 pci->device, pci->function);
	wrong = try_setup(v);
	if (wrong) {
		print("%s: %s; left alone\n", v->net.name, wrong);
		return false;
	}
	for (u32 i = 0; i < sizeof(v->net.mac); i++)
		v->net.mac[i] = v->config->mac[i];
	v->net.interrupt_kind = "MSI-X";
	v->net.offloads = (v->features & VIRTIO_NET_F_CSUM ? NET_TX_CSUM_L4 : 0) |
			  (v->features & VIRTIO_NET_F_GUEST_CSUM ? NET_RX_CSUM : 0);
	return true;
}

/* It answers, and is set up as we left it: one that left and came back meanwhile is not. */
static bool present(const struct netdev *dev)
{
	const struct virtio_net *v = container_of(dev, struct virtio_net, net);

	return pci_read16(&v->pci, 0) == VIRTIO_VENDOR &&
	       (pci_read16(&v->pci, PCI_COMMAND) & PCI_COMMAND_MASTER);
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
	struct virtio_net *v = to_virtio(dev);
	struct pci_device pci = v->pci;

	return pci_for_each(find_same, &pci) && setup(v, &pci) && !start(dev);
}

static const struct netdev_ops virtio_net_ops = {
	.transmit = transmit,
	.poll = poll,
	.recycle = recycle,
	.start = start,
	.read_counters = read_counters,
	.present = present,
	.restart = restart,
};

struct netdev *virtio_net_probe(const struct pci_device *pci)
{
	struct virtio_net *v = heap_take(sizeof(*v), 64);

	v->net.ops = &virtio_net_ops;
	v->net.mtu = 1500;
	v->net.max_segments = TX_MAX_SEGMENTS;
	v->rx.ring.memory = heap_take(sizeof(*v->rx.ring.memory), PAGE_SIZE);
	v->tx.ring.memory = heap_take(sizeof(*v->tx.ring.memory), PAGE_SIZE);
	rx_allocate(v);
	tx_allocate(v);
	return setup(v, pci) ? &v->net : NULL;
}
