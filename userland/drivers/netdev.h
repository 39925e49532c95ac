/* The interface between a network driver and the stack above it. There is one CPU, and all
 * functions are called from the main loop, never from an interrupt handler. Memory is
 * identity-mapped, so a pointer is also the address for the device. Nothing is copied:
 *
 * Receive: the driver owns a pool of buffers. It passes a filled one to ->receive, and the stack
 * returns it with netdev_recycle(), at any time and in any order.
 *
 * Transmit: the device reads the stack's memory until the driver calls ->sent with the frame's
 * token.
 */
#pragma once

#include <kernel/lib/compiler.h>

struct netdev;

#define NETBUF_OWNER_BYTES 64

struct netbuf {
	struct netbuf *next;
	struct netdev *dev;
	u8 *data; /* the frame, from the destination address on, without FCS */
	u16 length;
	bool checksum_good; /* the TCP or UDP checksum was checked, and the IPv4 header's */
	/* For the stack, for example for its buffer descriptor. The driver does not touch it. */
	u64 owner[NETBUF_OWNER_BYTES / 8];
};

struct net_segment {
	const void *data;
	u32 length;
};

/* Offloads, in netdev.offloads and per frame in netdev_transmit(). With NET_TX_CSUM_L4, the
 * checksum field of the frame may have any value. Not for fragments. */
#define NET_TX_CSUM_IPV4 1u /* the IPv4 header's checksum */
#define NET_TX_CSUM_L4 2u /* TCP and UDP over IPv4 and IPv6 without extension headers */
#define NET_RX_CSUM 4u /* netbuf.checksum_good is set for frames that were checked */

struct netdev_counters {
	u64 rx_packets, rx_bytes, tx_packets, tx_bytes;
	u64 rx_errors; /* bad frames, wrong checksums */
	u64 rx_missed; /* lost because no buffer was free in time, counted by the device */
	u64 tx_full; /* frames refused because the ring was full */
	u64 interrupts, polls;
};

struct netdev_ops {
	int (*transmit)(struct netdev *dev, const struct net_segment *segment, u32 segments,
			u32 offload, void *token);
	u32 (*poll)(struct netdev *dev, u32 budget);
	void (*recycle)(struct netdev *dev, struct netbuf *buffer);
	int (*start)(struct netdev *dev);
	void (*read_counters)(struct netdev *dev);
	bool (*present)(const struct netdev *dev);
	bool (*restart)(struct netdev *dev);
};

struct netdev {
	const struct netdev_ops *ops;
	char name[32]; /* device and address, for messages: "82574L at 00:03.0" */
	const char *interrupt_kind; /* "MSI-X" or "MSI" */
	u8 mac[6];
	u32 mtu;
	u32 offloads;
	u32 max_segments; /* per frame */
	bool gone; /* the device was removed: see netdev_changed() */
	bool link_up;
	u32 link_mbps;
	volatile bool pending; /* an interrupt arrived that netdev_poll() has not handled yet */
	struct netdev_counters counters;

	/* Set by the stack before netdev_start(). */
	void (*receive)(struct netdev *dev, struct netbuf *buffer);
	void (*sent)(struct netdev *dev, void *token);
	void (*link_changed)(struct netdev *dev);
	void *stack;
};

/* The first usable device that has a driver, reset and ready for netdev_start(); NULL if there is
 * none. If a device with a driver cannot be used, the reason is printed. */
struct netdev *netdev_probe(void);
/* What there are drivers for, and which functions there are, as lists of vendor and device ids.
 * Both texts have `size` bytes. */
void netdev_describe(char *known, char *found, size_t size);

/* Start receiving. 0 or a negative errno. */
static inline int netdev_start(struct netdev *dev)
{
	return dev->ops->start(dev);
}

/* Queue one frame. 0; -EAGAIN: the ring is full (retry after ->sent was called for another frame);
 * -EINVAL: no segments, or more than max_segments. If this returned 0, the token is passed to
 * ->sent exactly once. The array `segment` is not kept. With NET_TX_CSUM_L4 the first segment must
 * hold all headers; the driver writes the pseudo header's sum into it. */
static inline int netdev_transmit(struct netdev *dev, const struct net_segment *segment,
				  u32 segments, u32 offload, void *token)
{
	return dev->ops->transmit(dev, segment, segments, offload, token);
}

/* Handle at most `budget` received frames and everything that was sent. Returns the number of
 * frames received. If it is 0, interrupts are enabled again, and the main loop may sleep while
 * `pending` is false. Otherwise they stay disabled: call it again. Under load there are no
 * interrupts. */
static inline u32 netdev_poll(struct netdev *dev, u32 budget)
{
	return dev->ops->poll(dev, budget);
}

static inline void netdev_recycle(struct netbuf *buffer)
{
	buffer->dev->ops->recycle(buffer->dev, buffer);
}

/* Update the counters that the device keeps (rx_missed, rx_errors). */
static inline void netdev_read_counters(struct netdev *dev)
{
	dev->ops->read_counters(dev);
}

/* Devices came or went. True if this one was affected. Either it is gone (dev->gone): its link is
 * down, and until it is back, only netdev_recycle() and this function may be called. Or it is back,
 * and runs as after netdev_start(); the frames that it had not sent are lost, and ->sent was called
 * for them. */
bool netdev_changed(struct netdev *dev);
