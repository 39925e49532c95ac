/* Finds the headers of a frame, and computes what checksum offloads need. */
#include <userland/drivers/offload.h>

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd

#define IPV4_MIN_HEADER 20
#define IPV4_TOTAL_LENGTH 2
#define IPV4_FRAGMENT 6
#define IPV4_FRAGMENT_BITS 0x3fff /* more fragments, offset */
#define IPV4_PROTOCOL 9
#define IPV4_ADDRESSES 12

#define IPV6_HEADER 40
#define IPV6_PAYLOAD_LENGTH 4
#define IPV6_NEXT_HEADER 6
#define IPV6_ADDRESSES 8

#define TCP_CHECKSUM 16
#define TCP_MIN_HEADER 20
#define UDP_CHECKSUM 6
#define UDP_HEADER 8

static u16 get16(const u8 *p)
{
	return (u16)(p[0] << 8 | p[1]);
}

/* Fill h from the IP header on; false if it is cut off. */
static bool parse_ip(const u8 *ip, u32 length, struct net_headers *h)
{
	u32 header;

	if (h->ipv4) {
		header = (ip[0] & 0xfu) * 4;
		if (length < IPV4_MIN_HEADER || header < IPV4_MIN_HEADER || length < header ||
		    get16(ip + IPV4_TOTAL_LENGTH) < header)
			return false;
		h->l4_length = (u16)(get16(ip + IPV4_TOTAL_LENGTH) - header);
		h->protocol = get16(ip + IPV4_FRAGMENT) & IPV4_FRAGMENT_BITS ? 0 :
									       ip[IPV4_PROTOCOL];
	} else {
		header = IPV6_HEADER;
		if (length < header)
			return false;
		h->l4_length = get16(ip + IPV6_PAYLOAD_LENGTH);
		h->protocol = ip[IPV6_NEXT_HEADER];
	}
	h->l4 = (u8)(h->l3 + header);
	return true;
}

bool net_parse(const u8 *frame, u32 length, struct net_headers *h)
{
	u32 header;

	*h = (struct net_headers){ .l3 = ETH_HEADER_BYTES };
	if (length < ETH_HEADER_BYTES + IPV4_MIN_HEADER)
		return false;
	switch (get16(frame + 12)) {
	case ETHERTYPE_IPV4:
		h->ipv4 = true;
		break;
	case ETHERTYPE_IPV6:
		break;
	default:
		return false;
	}
	if (!parse_ip(frame + h->l3, length - h->l3, h))
		return false;

	switch (h->protocol) {
	case IP_PROTOCOL_TCP:
		header = TCP_MIN_HEADER;
		h->checksum = (u8)(h->l4 + TCP_CHECKSUM);
		break;
	case IP_PROTOCOL_UDP:
		header = UDP_HEADER;
		h->checksum = (u8)(h->l4 + UDP_CHECKSUM);
		break;
	default:
		h->protocol = 0;
		return true;
	}
	return length >= h->l4 + header && h->l4_length >= header;
}

void net_seed_checksum(u8 *frame, const struct net_headers *h)
{
	const u8 *address = frame + h->l3 + (h->ipv4 ? IPV4_ADDRESSES : IPV6_ADDRESSES);
	u32 bytes = h->ipv4 ? 8 : 32;
	u32 sum = (u32)h->protocol + h->l4_length;

	for (u32 i = 0; i < bytes; i += 2)
		sum += get16(address + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	frame[h->checksum] = (u8)(sum >> 8);
	frame[h->checksum + 1] = (u8)sum;
}

bool net_ipv4_header_good(const u8 *frame, const struct net_headers *h)
{
	u32 sum = 0;

	for (u32 i = h->l3; i < h->l4; i += 2)
		sum += get16(frame + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}
