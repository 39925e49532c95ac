/* The headers of a frame, for devices that compute checksums. */
#pragma once

#include <kernel/lib/compiler.h>

#define ETH_HEADER_BYTES 14

struct net_headers {
	bool ipv4; /* else IPv6 */
	u8 l3, l4; /* offsets of the IP header and of the header after it */
	u8 protocol; /* 0: a device cannot compute its checksum (not TCP or UDP, or a fragment) */
	u8 checksum; /* offset of the TCP or UDP checksum */
	u16 l4_length;
};

#define IP_PROTOCOL_TCP 6
#define IP_PROTOCOL_UDP 17

/* False if this is not an IP packet, or its headers do not fit into `length` bytes. */
bool __must_check net_parse(const u8 *frame, u32 length, struct net_headers *h);
/* Write the sum of the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1) into the checksum field, as
 * these devices expect it. */
void net_seed_checksum(u8 *frame, const struct net_headers *h);
/* True if the checksum of the IPv4 header is right. */
bool net_ipv4_header_good(const u8 *frame, const struct net_headers *h);
