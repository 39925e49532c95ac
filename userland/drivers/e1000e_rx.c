/* The 82574's receive ring: passes free buffers to the device and filled ones to the stack. */
#include <userland/drivers/e1000e_rings.h>
#include <userland/drivers/offload.h>
#include <userland/runtime/runtime.h>

#define RX_BUFFERS (RX_RING + 1024u) /* the ring stays full while the stack holds up to 1024 */
#define RX_BUFFER_BYTES 2048u

void e1000e_rx_tell(struct e1000e *e)
{
	if (e->rx_told == e->rx_fill)
		return;
	write_barrier();
	reg_write(e, RDT0, e->rx_fill % RX_RING);
	e->rx_told = e->rx_fill;
}

/* One descriptor always stays with the driver: RDH = RDT means that the device has none (7.1.9). */
void e1000e_rx_refill(struct e1000e *e)
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
			e1000e_rx_tell(e);
	}
}

void e1000e_rx_recycle(struct netdev *dev, struct netbuf *buffer)
{
	struct e1000e *e = to_e1000e(dev);

	buffer->next = e->rx_free;
	e->rx_free = buffer;
	/* If the device has run out of buffers, no frame may ever arrive to cause the next poll. */
	if (e->rx_fill - e->rx_next < RX_RING / 2) {
		e1000e_rx_refill(e);
		e1000e_rx_tell(e);
	}
}

static bool rx_checksum_good(const struct netbuf *b, u64 status)
{
	bool ipv4 = b->data[12] == 0x08 && b->data[13] == 0x00;

	return (status & RX_L4CS) && !(status & (RX_IXSM | RX_CHECKSUM_ERRORS)) &&
	       (!ipv4 || (status & RX_IPCS));
}

bool e1000e_rx_ready(const struct e1000e *e)
{
	return e->rx_next != e->rx_fill &&
	       (((volatile struct rx_desc *)e->rx)[e->rx_next % RX_RING].status_error & RX_DD);
}

void e1000e_rx_one(struct e1000e *e)
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
		e1000e_rx_recycle(&e->net, b);
		return;
	}
	b->checksum_good = rx_checksum_good(b, status);
	e->net.counters.rx_packets++;
	e->net.counters.rx_bytes += b->length;
	e->net.receive(&e->net, b);
}

void e1000e_rx_allocate(struct e1000e *e)
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

void e1000e_rx_reset(struct e1000e *e)
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
