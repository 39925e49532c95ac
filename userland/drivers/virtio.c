/* Driver for virtio-net, with one receive and one transmit queue, and one buffer per received
 * frame. Interrupts only wake the main loop: each poll disables them, and one that finds no frames
 * enables them again. */
#include <userland/drivers/virtio.h>

#include <kernel/lib/errno.h>
#include <kernel/lib/string.h>
#include <userland/drivers/offload.h>
#include <userland/drivers/virtio_pci.h>
#include <userland/runtime/mmio.h>

/* The queue stays full while the stack holds up to 1024 buffers. */
#define RX_BUFFERS (VIRTQUEUE_MAX + 1024u)
#define RX_BUFFER_BYTES 2048u
#define TX_MAX_SEGMENTS 16u

#define NEEDED (VIRTIO_F_VERSION_1 | VIRTIO_F_ACCESS_PLATFORM | VIRTIO_NET_F_MAC)
#define WANTED                                                                                     \
	(VIRTIO_NET_F_CSUM | VIRTIO_NET_F_GUEST_CSUM | VIRTIO_NET_F_STATUS |                       \
	 VIRTIO_NET_F_SPEED_DUPLEX)

/* The fields that every device has; the speed has a feature bit. */
#define CONFIG_BYTES offsetof(struct virtio_net_config, max_queue_pairs)

#define VECTOR_QUEUES 0
#define VECTOR_CONFIG 1

struct queue {
	struct virtqueue ring;
	struct virtqueue_memory *memory;
	volatile void *notify;
};

/* The header that the device reads before a frame; one for each frame that may be in flight. */
struct tx_slot {
	struct virtio_net_header header;
	void *token;
	struct tx_slot *next;
};

struct virtio_net {
	struct netdev net;
	struct virtio_pci device;
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

static volatile struct virtio_net_config *config(const struct virtio_net *v)
{
	return v->device.config;
}

/* --- interrupts ----------------------------------------------------------- */

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
	volatile struct pci_msix_entry *table;

	if (pci_msix_table(&v->device.pci, &table) <= VECTOR_CONFIG)
		return false;
	if (!v->queues_vector) {
		v->queues_vector = interrupt_allocate(queues_interrupt, v);
		v->config_vector = interrupt_allocate(config_interrupt, v);
	}
	pci_msix_set(table, VECTOR_QUEUES, v->queues_vector);
	pci_msix_set(table, VECTOR_CONFIG, v->config_vector);
	pci_msix_enable(&v->device.pci);
	v->device.common->config_msix_vector = VECTOR_CONFIG;
	return v->device.common->config_msix_vector == VECTOR_CONFIG;
}

static void link_update(struct virtio_net *v)
{
	bool broken = v->rx.ring.broken || v->tx.ring.broken;
	bool up = !broken && (!(v->device.features & VIRTIO_NET_F_STATUS) ||
			      (config(v)->status & VIRTIO_NET_LINK_UP));
	u32 mbps = v->device.features & VIRTIO_NET_F_SPEED_DUPLEX ? config(v)->speed : ~0u;

	v->net.link_mbps = up && !(mbps & BIT(31)) ? mbps : 0;
	if (up == v->net.link_up)
		return;
	if (broken)
		print("%s: wrote invalid data into its queues; not used any more\n", v->net.name);
	v->net.link_up = up;
	if (v->net.link_changed)
		v->net.link_changed(&v->net);
}

/* --- receive -------------------------------------------------------------- */

static void publish(struct queue *q, u16 index)
{
	if (virtqueue_publish(&q->ring))
		mmio_write16(q->notify, index);
}

/* The header lies before the frame, in the same buffer. */
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
	/* If the device has run out of buffers, no frame may ever arrive to cause the next poll. */
	if (!dev->gone && v->rx.ring.free > v->rx.ring.size / 2)
		rx_refill(v);
}

/* The flags cover only TCP and UDP: their checksum is correct, or left to be computed if the frame
 * is forwarded (5.1.6.4.1). The IPv4 header's checksum is verified here. */
static bool rx_checksum_good(const struct virtio_net *v, const struct netbuf *b)
{
	const struct virtio_net_header *header = (const void *)rx_memory(b);
	struct net_headers h;

	if (!(v->device.features & VIRTIO_NET_F_GUEST_CSUM) ||
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

/* --- transmit ------------------------------------------------------------- */

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

/* The device computes the sum from checksum_start on, including the value in the checksum field
 * (5.1.6.2). */
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
	slot = v->tx_free; /* not NULL: there are as many slots as descriptors */
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

/* --- the device ----------------------------------------------------------- */

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

		/* Buffers used since the last check raised no interrupt. */
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
	virtio_pci_run(&v->device);
	link_update(v);
	rx_refill(v);
	dev->pending = true; /* the first poll enables the interrupts */
	return 0;
}

static void read_counters(struct netdev *dev)
{
	(void)dev; /* the device has no counters */
}

/* Take back the buffers of a device that was reset. Frames that it had not sent are lost. */
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

static bool queue_init(struct virtio_net *v, struct queue *q, u16 index)
{
	q->notify = virtio_pci_queue(&v->device, index, &q->ring, q->memory, VECTOR_QUEUES);
	return q->notify;
}

static const char *try_setup(struct virtio_net *v, const struct pci_device *pci)
{
	const char *wrong = virtio_pci_open(&v->device, pci, CONFIG_BYTES);

	if (wrong)
		return wrong;
	if (!virtio_pci_negotiate(&v->device, NEEDED, WANTED))
		return "does not offer VERSION_1, ACCESS_PLATFORM and MAC, or refuses them";
	if (!interrupts_init(v))
		return "has fewer than two MSI-X vectors";
	take_back(v);
	if (!queue_init(v, &v->rx, QUEUE_RECEIVE) || !queue_init(v, &v->tx, QUEUE_TRANSMIT))
		return "has no usable queues";
	return NULL;
}

/* Reset the device and set up its queues, ready for start(). Errors are printed. */
static bool setup(struct virtio_net *v, const struct pci_device *pci)
{
	const char *wrong;

	snprintf(v->net.name, sizeof(v->net.name), "virtio-net at %02x:%02x.%x", pci->bus,
		 pci->device, pci->function);
	wrong = try_setup(v, pci);
	if (wrong) {
		print("%s: %s; not used\n", v->net.name, wrong);
		return false;
	}
	for (u32 i = 0; i < sizeof(v->net.mac); i++)
		v->net.mac[i] = config(v)->mac[i];
	v->net.interrupt_kind = "MSI-X";
	v->net.offloads = (v->device.features & VIRTIO_NET_F_CSUM ? NET_TX_CSUM_L4 : 0) |
			  (v->device.features & VIRTIO_NET_F_GUEST_CSUM ? NET_RX_CSUM : 0);
	return true;
}

/* The device responds and is still set up; one that was removed and added again is not. */
static bool present(const struct netdev *dev)
{
	const struct virtio_net *v = container_of(dev, struct virtio_net, net);

	return pci_read16(&v->device.pci, 0) == VIRTIO_VENDOR &&
	       (pci_read16(&v->device.pci, PCI_COMMAND) & PCI_COMMAND_BUS_MASTER);
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
	struct pci_device pci = v->device.pci;

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
	v->rx.memory = heap_take(sizeof(*v->rx.memory), PAGE_SIZE);
	v->tx.memory = heap_take(sizeof(*v->tx.memory), PAGE_SIZE);
	rx_allocate(v);
	tx_allocate(v);
	return setup(v, pci) ? &v->net : NULL;
}
