/* What a network driver offers and what the stack above it gives. One CPU: all is called from the
 * main loop, never from an interrupt. Memory is identity mapped (see userland/runtime/ram.h), so a
 * pointer is also the device's address.
 *
 * Receive: the driver owns a pool of buffers. A filled one is handed to ->receive, and the stack
 * gives it back with netdev_recycle() when it is done, in any order, whenever it likes. Nothing is
 * copied. Transmit: the driver reads the stack's memory until it calls ->sent with the token of
 * that frame.
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
	bool checksum_good; /* the device has checked the TCP or UDP checksum, and the IPv4 header's
			     */
	u64 owner[NETBUF_OWNER_BYTES /
		  8]; /* the stack's own, e.g. its buffer descriptor; kept by the driver */
};

struct net_segment {
	const void *data;
	u32 length;
};

/* Offloads, in netdev.offloads and per frame in netdev_transmit(). With the TCP or UDP one, the
 * stack may leave the checksum field with any value; not for fragments. */
#define NET_TX_CSUM_IPV4 1u /* the IPv4 header's checksum */
#define NET_TX_CSUM_L4 2u /* TCP and UDP over IPv4 and IPv6 without extension headers */
#define NET_RX_CSUM 4u /* netbuf.checksum_good is set where the device has checked */

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
	char name[32]; /* device and place, for messages: "82574L at 00:03.0" */
	const char *interrupt_kind; /* "MSI-X" or "MSI" */
	u8 mac[6];
	u32 mtu;
	u32 offloads;
	u32 max_segments; /* per frame */
	bool gone; /* the device left the machine: see netdev_changed() */
	bool link_up;
	u32 link_mbps;
	volatile bool pending; /* an interrupt has come that netdev_poll() has not dealt with yet */
	struct netdev_counters counters;

	/* Set by the stack before netdev_start(). */
	void (*receive)(struct netdev *dev, struct netbuf *buffer);
	void (*sent)(struct netdev *dev, void *token);
	void (*link_changed)(struct netdev *dev);
	void *stack;
};

/* The first device with a driver, reset and ready for netdev_start(). NULL without one; what was
 * wrong with a device that has a driver is printed. */
struct netdev *netdev_probe(void);

/* Begin to receive. 0 or a negative errno. */
static inline int netdev_start(struct netdev *dev)
{
	return dev->ops->start(dev);
}

/* Queue one frame. 0, or -EAGAIN when the ring is full (->sent follows later, so try again then),
 * or -EINVAL for a frame with no or more than max_segments segments. The token is handed to ->sent,
 * exactly once, if this returned 0. `segment` itself is not kept. With NET_TX_CSUM_L4 the first
 * segment must hold all headers; the driver writes the pseudo header's sum into it. */
static inline int netdev_transmit(struct netdev *dev, const struct net_segment *segment,
				  u32 segments, u32 offload, void *token)
{
	return dev->ops->transmit(dev, segment, segments, offload, token);
}

/* Handle at most `budget` received frames and everything that was sent. Returns the frames
 * received. If there were none, interrupts have been turned on again, and the main loop may sleep
 * while `pending` is false; otherwise they stay off: call it again. So under load nothing
 * interrupts. */
static inline u32 netdev_poll(struct netdev *dev, u32 budget)
{
	return dev->ops->poll(dev, budget);
}

static inline void netdev_recycle(struct netbuf *buffer)
{
	buffer->dev->ops->recycle(buffer->dev, buffer);
}

/* Bring counters that the device keeps (rx_missed, rx_errors) up to date. */
static inline void netdev_read_counters(struct netdev *dev)
{
	dev->ops->read_counters(dev);
}

/* Devices came or went. True if this one was affected: it is gone (dev->gone; until it is back its
 * other functions must not be called but netdev_recycle(), and its link is down), or it is back,
 * and runs as after netdev_start(). What was to be sent is lost;
 * ->sent was called for it. */
bool netdev_changed(struct netdev *dev);
