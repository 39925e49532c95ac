/* The network device of virtio (virtio 1.2, 5.1). */
#pragma once

#include <kernel/abi/virtio_regs.h>

/* Features (5.1.3) */
#define VIRTIO_NET_F_CSUM BIT(0)
#define VIRTIO_NET_F_GUEST_CSUM BIT(1)
#define VIRTIO_NET_F_MAC BIT(5)
#define VIRTIO_NET_F_STATUS BIT(16)
#define VIRTIO_NET_F_SPEED_DUPLEX BIT(63)

/* The network device's configuration (5.1.4) */
struct virtio_net_config {
	u8 mac[6];
	u16 status, max_queue_pairs, mtu;
	u32 speed; /* Mb/s; more than 2^31: unknown */
};
#define VIRTIO_NET_LINK_UP 1u

#define QUEUE_RECEIVE 0
#define QUEUE_TRANSMIT 1

/* Precedes each frame (5.1.6) */
struct virtio_net_header {
	u8 flags, gso_type;
	u16 header_length, gso_size, checksum_start, checksum_offset, buffers;
};
_Static_assert(sizeof(struct virtio_net_header) == 12, "virtio 1.2, 5.1.6");
#define HEADER_NEEDS_CSUM 1u
#define HEADER_DATA_VALID 2u
