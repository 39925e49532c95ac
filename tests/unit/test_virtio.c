/* sources: userland/drivers/virtio.c userland/drivers/virtio_pci.c
 * sources: userland/drivers/virtqueue.c userland/drivers/offload.c */
/* The virtio-net driver against a device whose registers are memory: what it negotiates, what it
 * sends, and how it handles valid and invalid answers of the device. No buffer and no token is ever
 * lost, not even across resets. */
#include "test.h"

#include <userland/drivers/virtio.h>
#include <userland/drivers/virtio_regs.h>
#include <userland/drivers/virtqueue.h>
#include <kernel/lib/errno.h>

#define IP_UDP 17
#define FRAME 60u
#define HEADER sizeof(struct virtio_net_header)
#define NOTIFY_MULTIPLIER 4

/* --- the device: config space, and a BAR with all registers --------------- */

static u8 space[256];
static struct {
	struct virtio_common common;
	struct virtio_net_config config;
	u32 notify[2];
	struct pci_msix_entry msix[2];
} bar;
static u32 vectors;
static const struct pci_device function = { .bus = 1, .vendor = VIRTIO_VENDOR, .id = VIRTIO_NET };
static interrupt_handler handler[2];
static void *handler_arg;
static u32 nr_handlers;

u32 pci_read32(const struct pci_device *d, u8 reg)
{
	u32 v;

	(void)d;
	memcpy(&v, space + reg, 4);
	return v;
}

u16 pci_read16(const struct pci_device *d, u8 reg)
{
	return (u16)(pci_read32(d, reg & 0xfc) >> (8 * (reg & 2)));
}

void pci_write16(const struct pci_device *d, u8 reg, u16 value)
{
	(void)d;
	memcpy(space + reg, &value, 2);
}

static u8 find_from(u8 at, u8 id)
{
	for (; at; at = space[at + 1])
		if (space[at] == id)
			return at;
	return 0;
}

u8 pci_find_capability(const struct pci_device *d, u8 id)
{
	(void)d;
	return find_from(space[0x34], id);
}

u8 pci_next_capability(const struct pci_device *d, u8 at, u8 id)
{
	(void)d;
	return find_from(space[at + 1], id);
}

u64 pci_bar(const struct pci_device *d, unsigned int n)
{
	(void)d;
	return n == 4 ? (u64)&bar : 0;
}

bool pci_for_each(bool (*fn)(const struct pci_device *d, void *ctx), void *ctx)
{
	return space[0] != 0xff && fn(&function, ctx);
}

u32 pci_msix_table(const struct pci_device *d, volatile struct pci_msix_entry **table)
{
	(void)d;
	*table = bar.msix;
	return vectors;
}

void pci_msix_set(volatile struct pci_msix_entry *table, u32 entry, u8 vector)
{
	table[entry].data = vector;
}

void pci_msix_enable(const struct pci_device *d)
{
	(void)d;
}

u8 interrupt_allocate(interrupt_handler fn, void *ctx)
{
	assert_true(nr_handlers < 2);
	handler[nr_handlers] = fn;
	handler_arg = ctx;
	return (u8)(0x40 + nr_handlers++);
}

/* Released by the end of each test. */
static void *heap[16];
static u32 nr_heap;

void *heap_take(size_t size, size_t align)
{
	assert_true(nr_heap < ARRAY_SIZE(heap));
	assert_int_equal(posix_memalign(&heap[nr_heap], MAX(align, sizeof(void *)), size), 0);
	return memset(heap[nr_heap++], 0, size);
}

void delay_us(u32 us)
{
	(void)us;
}

static char said[256];

void print(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(said, sizeof(said), fmt, ap);
	va_end(ap);
}

static void capability(u8 at, u8 next, u8 kind, size_t offset, u32 length)
{
	u32 words[] = { 9u | (u32)next << 8 | 20u << 16 | (u32)kind << 24, 4, (u32)offset, length,
			NOTIFY_MULTIPLIER };

	memcpy(space + at, words, sizeof(words));
}

/* The selector is plain memory too, so both halves of the features read the same: bits 0 and 1 are
 * the checksum features in the lower half, and VERSION_1 and ACCESS_PLATFORM in the upper half. */
#define FEATURES (BIT(0) | BIT(1) | VIRTIO_NET_F_MAC | VIRTIO_NET_F_STATUS)

static int setup(void **state)
{
	static const u8 mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

	(void)state;
	memset(space, 0, sizeof(space));
	memset(&bar, 0, sizeof(bar));
	pci_write16(&function, 0, VIRTIO_VENDOR);
	pci_write16(&function, 2, VIRTIO_NET);
	space[0x34] = 0x40;
	capability(0x40, 0x58, 8, 0, 0); /* a type that the driver does not know */
	capability(0x58, 0x70, VIRTIO_CAP_DEVICE, (size_t)((u8 *)&bar.config - (u8 *)&bar),
		   sizeof(bar.config));
	capability(0x70, 0x88, VIRTIO_CAP_COMMON, 0, sizeof(bar.common));
	capability(0x88, 0xa0, VIRTIO_CAP_NOTIFY, (size_t)((u8 *)bar.notify - (u8 *)&bar),
		   sizeof(bar.notify));
	capability(0xa0, 0, VIRTIO_CAP_COMMON, 1000,
		   sizeof(bar.common)); /* a second capability of the same type is ignored */
	bar.common.device_feature = FEATURES;
	bar.common.queue_size = 1024;
	memcpy(bar.config.mac, mac, sizeof(mac));
	bar.config.status = VIRTIO_NET_LINK_UP;
	vectors = 2;
	nr_handlers = 0;
	said[0] = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (nr_heap)
		free(heap[--nr_heap]);
	return 0;
}

/* --- the stack above, and the device's side ------------------------------- */

static struct netbuf *received;
static u32 nr_received, nr_sent, link_changes;
static u64 sent_sum;
static struct virtqueue_memory *ring[2];
static u16 seen[2];

static void receive(struct netdev *dev, struct netbuf *b)
{
	(void)dev;
	b->next = received;
	received = b;
	nr_received++;
}

static void sent(struct netdev *dev, void *token)
{
	(void)dev;
	sent_sum += (u64)token;
	nr_sent++;
}

/* What the device does while the driver's poll runs, after the driver has checked the queues. */
static void (*in_between)(void);

static void link_changed(struct netdev *dev)
{
	(void)dev;
	link_changes++;
	if (in_between)
		in_between();
}

static struct netdev *begin(void)
{
	struct netdev *dev = virtio_net_probe(&function);

	assert_non_null(dev);
	dev->receive = receive;
	dev->sent = sent;
	dev->link_changed = link_changed;
	received = NULL;
	nr_received = nr_sent = link_changes = 0;
	sent_sum = 0;
	/* The order of the driver's allocations: itself, then the memory of each queue. */
	ring[QUEUE_RECEIVE] = heap[1];
	ring[QUEUE_TRANSMIT] = heap[2];
	seen[0] = seen[1] = 0;
	assert_int_equal(netdev_start(dev), 0);
	return dev;
}

/* What the driver posts next. */
static struct vring_desc *next_offer(u32 queue, u16 *head)
{
	struct virtqueue_memory *m = ring[queue];

	if (seen[queue] == m->avail.index)
		return NULL;
	*head = m->avail.ring[seen[queue]++ % VIRTQUEUE_MAX];
	return &m->desc[*head];
}

static void done(u32 queue, u16 head, u32 length)
{
	struct virtqueue_memory *m = ring[queue];

	m->used.ring[m->used.index % VIRTQUEUE_MAX].id = head;
	m->used.ring[m->used.index % VIRTQUEUE_MAX].length = length;
	m->used.index++;
}

/* A frame of IPv4 and UDP, with a good header checksum or a bad one. */
static void deliver(u8 flags, u32 length, bool header_good)
{
	static const u8 ipv4[] = { 0x45, 0, 0, 46, 0, 0, 0,  0, 64, 17, 0, 0, 10,
				   0,	 2, 2, 10, 0, 2, 15, 0, 7,  0,	7, 0, 26 };
	u16 head;
	struct vring_desc *d = next_offer(QUEUE_RECEIVE, &head);
	u8 *buffer = (u8 *)d->address;
	u32 sum = 0;

	assert_int_equal(d->flags, VRING_DESC_WRITE);
	memset(buffer, 0, HEADER + FRAME);
	buffer[0] = flags;
	buffer[HEADER + 12] = 8;
	memcpy(buffer + HEADER + 14, ipv4, sizeof(ipv4));
	for (u32 i = 0; i < 20; i += 2)
		sum += (u32)(ipv4[i] << 8 | ipv4[i + 1]);
	sum = ~(sum + (sum >> 16)) & 0xffff;
	buffer[HEADER + 24] = (u8)(sum >> 8);
	buffer[HEADER + 25] = (u8)(sum ^ !header_good);
	done(QUEUE_RECEIVE, head, length);
}

static u32 offered(u32 queue)
{
	return (u16)(ring[queue]->avail.index - seen[queue]);
}

/* --- the tests ------------------------------------------------------------ */

static void what_is_negotiated(void **state)
{
	struct netdev *dev = begin();

	(void)state;
	assert_int_equal(bar.common.driver_feature,
			 3); /* the upper half: VERSION_1 and ACCESS_PLATFORM, and nothing else */
	assert_int_equal(bar.common.device_status, STATUS_ACKNOWLEDGE | STATUS_DRIVER |
							   STATUS_FEATURES_OK | STATUS_DRIVER_OK);
	assert_int_equal(bar.common.queue_size, VIRTQUEUE_MAX);
	assert_int_equal(bar.common.queue_enable, 1);
	assert_int_equal(bar.common.queue_msix_vector, 0);
	assert_int_equal(bar.common.config_msix_vector, 1);
	assert_int_equal(bar.msix[0].data, 0x40);
	assert_int_equal(bar.msix[1].data, 0x41);
	assert_memory_equal(dev->mac, bar.config.mac, 6);
	assert_int_equal(dev->offloads, NET_TX_CSUM_L4 | NET_RX_CSUM);
	assert_true(dev->link_up);
	assert_true(pci_read16(&function, PCI_COMMAND) & PCI_COMMAND_BUS_MASTER);
	assert_int_equal(offered(QUEUE_RECEIVE), VIRTQUEUE_MAX);
	assert_string_equal(said, "");
}

static void refused(const char *why)
{
	assert_null(virtio_net_probe(&function));
	assert_non_null(strstr(said, why));
	teardown(NULL);
	setup(NULL);
}

static void what_is_refused(void **state)
{
	(void)state;
	bar.common.device_feature = FEATURES & ~BIT(0);
	refused("does not offer VERSION_1");
	bar.common.device_feature = FEATURES & ~BIT(1);
	refused("does not offer VERSION_1");
	bar.common.device_feature = FEATURES & ~VIRTIO_NET_F_MAC;
	refused("does not offer VERSION_1");
	vectors = 1;
	refused("two MSI-X vectors");
	bar.common.queue_size = 0;
	refused("no usable queues");
	bar.common.queue_size = 48;
	refused("no usable queues");
	space[0x40 + 1] = 0x70; /* without the network device's configuration */
	refused("lacks registers");
	capability(0x70, 0x88, VIRTIO_CAP_COMMON, 0, 16);
	refused("lacks registers");
	space[0xa0 + 1] = 0x40; /* a list that never ends, without notification registers */
	space[0x88 + 3] = 8;
	refused("lacks registers");
}

static void received_frames(void **state)
{
	static const struct {
		u8 flags;
		u32 length;
		bool header_good, comes, good;
	} cases[] = {
		{ 0, HEADER + FRAME, true, true, false },
		{ HEADER_DATA_VALID, HEADER + FRAME, true, true, true },
		{ HEADER_NEEDS_CSUM, HEADER + FRAME, true, true, true },
		{ HEADER_DATA_VALID, HEADER + FRAME, false, true, false },
		{ HEADER_DATA_VALID, HEADER + 14, true, true, false },
		{ 0, HEADER + 13, true, false, false },
		{ 0, 3, true, false, false },
		{ 0, 0, true, false, false },
		{ 0, 2048, true, true, false },
		{ 0, 2049, true, false, false },
		{ 0, 0xffffffff, true, false, false },
	};
	struct netdev *dev = begin();
	u32 bad = 0;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(cases); i++) {
		nr_received = 0;
		deliver(cases[i].flags, cases[i].length, cases[i].header_good);
		assert_int_equal(netdev_poll(dev, 64), 1);
		bad += !cases[i].comes;
		assert_int_equal(nr_received, cases[i].comes);
		assert_int_equal(dev->counters.rx_errors, bad);
		if (cases[i].comes) {
			assert_int_equal(received->length, cases[i].length - HEADER);
			assert_int_equal(received->checksum_good, cases[i].good);
		}
		while (received) {
			struct netbuf *b = received;

			received = b->next;
			netdev_recycle(b);
		}
		assert_int_equal(offered(QUEUE_RECEIVE), VIRTQUEUE_MAX);
	}
}

static void no_buffer_is_lost(void **state)
{
	struct netdev *dev = begin();
	u32 held = 0, polls;

	(void)state;
	for (u32 round = 0; round < 20000; round++) {
		nr_received = 0;
		for (int n = rand() % 40; n > 0 && offered(QUEUE_RECEIVE); n--)
			deliver(0, HEADER + (rand() % 8 ? FRAME : 0), true);
		while (netdev_poll(dev, 16))
			;
		held += nr_received;
		for (int n = rand() % 50; n > 0 && received; n--, held--) {
			struct netbuf *b = received;

			received = b->next;
			netdev_recycle(b);
		}
		/* The pool has 1024 more than the ring. */
		if (held <= 1024)
			assert_true(offered(QUEUE_RECEIVE) >= VIRTQUEUE_MAX / 2);
		if (round % 1000 == 999)
			assert_true(dev->ops->restart(dev)), seen[0] = seen[1] = 0;
	}
	/* When the stack holds all buffers, the device has none and will cause no poll. */
	while (offered(QUEUE_RECEIVE)) {
		deliver(0, HEADER + FRAME, true);
		(void)netdev_poll(dev, 1);
	}
	polls = (u32)dev->counters.polls;
	while (received) {
		struct netbuf *b = received;

		received = b->next;
		netdev_recycle(b);
	}
	assert_true(offered(QUEUE_RECEIVE) >= VIRTQUEUE_MAX / 2);
	assert_int_equal(dev->counters.polls, polls);
	(void)netdev_poll(dev, 1);
	assert_int_equal(offered(QUEUE_RECEIVE), VIRTQUEUE_MAX);
}

static void sent_frames(void **state)
{
	u8 udp[60] = { [12] = 8, [14] = 0x45, [17] = 46, [23] = 17, [26] = 10,
		       [29] = 2, [30] = 10,   [33] = 15, [39] = 26 };
	struct net_segment segment[18] = { { udp, 42 }, { udp + 42, 18 } };
	struct netdev *dev = begin();
	u32 accepted = 0;
	u16 head;

	(void)state;
	assert_int_equal(netdev_transmit(dev, segment, 2, NET_TX_CSUM_L4, (void *)5), 0);
	struct vring_desc *d = next_offer(QUEUE_TRANSMIT, &head);
	struct virtio_net_header *h = (void *)d->address;

	assert_int_equal(d->length, HEADER);
	assert_int_equal(h->flags, HEADER_NEEDS_CSUM);
	assert_int_equal(h->checksum_start, 34);
	assert_int_equal(h->checksum_offset, 6);
	assert_int_equal(udp[40] << 8 | udp[41], 0x0a00 + 2 + 0x0a00 + 15 + IP_UDP + 26);
	d = &ring[QUEUE_TRANSMIT]->desc[d->next];
	assert_ptr_equal(d->address, udp);
	assert_int_equal(d->length, 42);
	d = &ring[QUEUE_TRANSMIT]->desc[d->next];
	assert_ptr_equal(d->address, udp + 42);
	assert_int_equal(d->flags, 0);
	assert_int_equal(nr_sent, 0);
	done(QUEUE_TRANSMIT, head, 0);
	(void)netdev_poll(dev, 1);
	assert_int_equal(sent_sum, 5);

	assert_int_equal(netdev_transmit(dev, segment, 0, 0, NULL), -EINVAL);
	assert_int_equal(netdev_transmit(dev, segment, 17, 0, NULL), -EINVAL);
	/* Until the queue is full; without an offload the header is empty. */
	while (!netdev_transmit(dev, segment, 2, 0, (void *)1))
		accepted++;
	assert_int_equal(accepted, VIRTQUEUE_MAX / 3);
	assert_int_equal(dev->counters.tx_full, 1);
	h = (void *)next_offer(QUEUE_TRANSMIT, &head)->address;
	for (u32 i = 0; i < HEADER; i++)
		assert_int_equal(((u8 *)h)[i], 0);
	/* There is room again when one completes; buffers lost by a reset are reported too. */
	done(QUEUE_TRANSMIT, head, 0);
	assert_int_equal(netdev_transmit(dev, segment, 2, 0, (void *)1), 0);
	assert_true(dev->ops->restart(dev));
	assert_int_equal(sent_sum, 5 + accepted + 1);
	assert_int_equal(nr_sent, 1 + accepted + 1);
}

static void interrupts_and_link(void **state)
{
	struct netdev *dev = begin();

	(void)state;
	assert_true(dev->pending);
	assert_int_equal(netdev_poll(dev, 64), 0);
	assert_false(dev->pending);
	assert_int_equal(ring[QUEUE_RECEIVE]->avail.flags, 0);
	assert_int_equal(ring[QUEUE_TRANSMIT]->avail.flags, 0);
	/* While there is more to do, the driver wants no interrupt. */
	deliver(0, HEADER + FRAME, true);
	handler[0](handler_arg);
	assert_true(dev->pending);
	assert_int_equal(netdev_poll(dev, 1), 1);
	assert_int_equal(ring[QUEUE_RECEIVE]->avail.flags, VRING_AVAIL_NO_INTERRUPT);

	link_changes = 0;
	bar.config.status = 0;
	assert_int_equal(netdev_poll(dev, 1), 0);
	assert_true(dev->link_up); /* no configuration interrupt yet */
	handler[1](handler_arg);
	assert_true(dev->pending);
	(void)netdev_poll(dev, 1);
	assert_false(dev->link_up);
	bar.config.status = VIRTIO_NET_LINK_UP;
	handler[1](handler_arg);
	(void)netdev_poll(dev, 1);
	assert_true(dev->link_up);
	assert_int_equal(link_changes, 2);
}

static void deliver_one(void)
{
	deliver(0, HEADER + FRAME, true);
}

static void send_done(void)
{
	u16 head;

	assert_non_null(next_offer(QUEUE_TRANSMIT, &head));
	done(QUEUE_TRANSMIT, head, 0);
}

static void no_wakeup_is_lost(void **state)
{
	void (*const events[])(void) = { NULL, deliver_one, send_done };
	struct net_segment segment = { space, 60 };
	struct netdev *dev = begin();

	(void)state;
	while (netdev_poll(dev, 64))
		;
	for (u32 i = 0; i < ARRAY_SIZE(events); i++) {
		assert_int_equal(netdev_transmit(dev, &segment, 1, 0, NULL), 0);
		in_between = events[i];
		bar.config.status ^= VIRTIO_NET_LINK_UP;
		handler[1](handler_arg);
		assert_int_equal(netdev_poll(dev, 64), 0);
		in_between = NULL;
		assert_int_equal(dev->pending, i != 0);
		while (netdev_poll(dev, 64))
			;
		assert_false(dev->pending);
	}
}

static void a_broken_queue_takes_the_link_down(void **state)
{
	struct netdev *dev = begin();

	(void)state;
	done(QUEUE_RECEIVE, 999, 100);
	assert_int_equal(netdev_poll(dev, 64), 0);
	assert_false(dev->link_up);
	assert_non_null(strstr(said, "invalid data"));
	handler[1](handler_arg);
	(void)netdev_poll(dev, 64);
	assert_false(dev->link_up);
	/* A reset repairs it. */
	assert_true(dev->ops->restart(dev));
	assert_true(dev->link_up);
}

static void leaving_and_coming_back(void **state)
{
	struct netdev *dev = begin();

	(void)state;
	assert_true(dev->ops->present(dev));
	pci_write16(&function, PCI_COMMAND, 0); /* reset by another owner meanwhile */
	assert_false(dev->ops->present(dev));
	assert_true(dev->ops->restart(dev));
	assert_true(dev->ops->present(dev));
	space[0] = 0xff;
	assert_false(dev->ops->present(dev));
	assert_false(dev->ops->restart(dev));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_negotiated),
		TEST(what_is_refused),
		TEST(received_frames),
		TEST(no_buffer_is_lost),
		TEST(sent_frames),
		TEST(interrupts_and_link),
		TEST(no_wakeup_is_lost),
		TEST(a_broken_queue_takes_the_link_down),
		TEST(leaving_and_coming_back),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
