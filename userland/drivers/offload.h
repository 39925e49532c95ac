/* Where a frame's headers are, for devices that compute checksums. */
#pragma once

#include <kernel/lib/compiler.h>

#define ETH_HEADER_BYTES 14

struct net_headers {
	bool ipv4; /* else IPv6 */
	u8 l3, l4; /* offsets of the IP header and of what follows it */
	u8 protocol; /* 0: not TCP or UDP, or a fragment: no checksum a device could compute */
	u8 checksum; /* offset of the TCP or UDP checksum */
	u16 l4_length;
};

#define IP_PROTOCOL_TCP 6
#define IP_PROTOCOL_UDP 17

/* False if this is no IP packet, or its headers do not fit into `length` bytes. */
bool __must_check net_parse(const u8 *frame, u32 length, struct net_headers *h);
/* Write what such devices expect in the checksum field: the sum of the pseudo header (RFC 9293,
 * 3.1; RFC 8200, 8.1). */
void net_seed_checksum(u8 *frame, const struct net_headers *h);
/* True if the checksum of the IPv4 header is right. */
bool net_ipv4_header_good(const u8 *frame, const struct net_headers *h);
