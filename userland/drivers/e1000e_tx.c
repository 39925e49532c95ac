/* The 82574's transmit ring: sends frames, with checksums computed by the device. */
#include <kernel/lib/errno.h>
#include <userland/drivers/e1000e_rings.h>
#include <userland/drivers/offload.h>
#include <userland/runtime/runtime.h>

/* A frame takes a descriptor for each segment and one for the context. The ring is never filled
 * completely, because TDH = TDT means empty (7.2.4). */
#define TX_RESERVE 1u

static u32 tx_space(const struct e1000e *e)
{
	return TX_RING - TX_RESERVE - (e->tx_next - e->tx_clean);
}

void e1000e_tx_reclaim(struct e1000e *e)
{
	/* The device reports whole frames: RS is set in their last descriptor. */
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

/* Queue the checksum context for this frame, unless the device has it already (7.2.6). Returns
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

int e1000e_transmit(struct netdev *dev, const struct net_segment *segment, u32 segments,
		    u32 offload, void *token)
{
	struct e1000e *e = to_e1000e(dev);
	u32 popts, bytes = 0, slot;

	if (!segments || segments > TX_MAX_SEGMENTS)
		return -EINVAL;
	if (tx_space(e) < segments + 1) {
		e1000e_tx_reclaim(e);
		if (tx_space(e) < segments + 1) {
			dev->counters.tx_full++;
			return -EAGAIN;
		}
	}
	popts = offload & (NET_TX_CSUM_IPV4 | NET_TX_CSUM_L4) ?
			tx_checksum(e, &segment[0], offload) :
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

void e1000e_tx_allocate(struct e1000e *e)
{
	e->tx = heap_take(TX_RING * sizeof(*e->tx), PAGE_SIZE);
}

void e1000e_tx_reset(struct e1000e *e)
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
