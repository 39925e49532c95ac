/* Passes frames between a network driver and lwIP without copying: a received buffer becomes a
 * custom pbuf until lwIP frees it; the pbufs of a frame to be sent stay referenced until the device
 * has read them. */
#include "netif.h"

#include <lwip/dhcp.h>
#include <lwip/etharp.h>
#include <lwip/ethip6.h>
#include <lwip/init.h>
#include <lwip/prot/ethernet.h>
#include <lwip/prot/ip.h>
#include <lwip/prot/ip4.h>
#include <lwip/prot/ip6.h>
#include <lwip/timeouts.h>
#include <netif/ethernet.h>
#include <string.h>
#include "../runtime/runtime.h"

#define MAX_SEGMENTS 16
/* Peers that do not read what they are sent can make the stack hold buffers. Above this many, small
 * frames (acknowledgements, requests) are copied and larger ones dropped, so that such peers cannot
 * starve the others. The driver has more buffers than this. */
#define HELD_LIMIT 768
#define SMALL_FRAME 512
#define DHCP_PATIENCE_MS 5000

static struct netif netif;
static void (*address_ready)(struct netif *netif);
struct netif_counters netif_counters;

struct rx_owner {
	struct pbuf_custom pbuf;
	struct netbuf *buffer;
};
_Static_assert(sizeof(struct rx_owner) <= NETBUF_OWNER_BYTES, "userland/drivers/netdev.h");

static void rx_free(struct pbuf *p)
{
	struct rx_owner *owner = (struct rx_owner *)p;

	netif_counters.held--;
	netdev_recycle(owner->buffer);
}

static struct pbuf *rx_wrap(struct netbuf *buffer)
{
	struct rx_owner *owner = (struct rx_owner *)buffer->owner;
	struct pbuf *p;

	if (netif_counters.held >= HELD_LIMIT) {
		p = buffer->length <= SMALL_FRAME ?
			    pbuf_alloc(PBUF_RAW, buffer->length, PBUF_POOL) :
			    NULL;
		if (p) {
			pbuf_take(p, buffer->data, buffer->length);
			netif_counters.rx_copied++;
		}
		netdev_recycle(buffer);
		return p;
	}
	owner->buffer = buffer;
	owner->pbuf.custom_free_function = rx_free;
	netif_counters.held++;
	return pbuf_alloced_custom(PBUF_RAW, buffer->length, PBUF_REF, &owner->pbuf, buffer->data,
				   buffer->length);
}

#define CHECK_ALL                                                                                  \
	(NETIF_CHECKSUM_CHECK_IP | NETIF_CHECKSUM_CHECK_UDP | NETIF_CHECKSUM_CHECK_TCP |           \
	 NETIF_CHECKSUM_CHECK_ICMP | NETIF_CHECKSUM_CHECK_ICMP6)
#define CHECK_REST (NETIF_CHECKSUM_CHECK_ICMP | NETIF_CHECKSUM_CHECK_ICMP6)
#define GEN_ALL                                                                                    \
	(NETIF_CHECKSUM_GEN_IP | NETIF_CHECKSUM_GEN_UDP | NETIF_CHECKSUM_GEN_TCP |                 \
	 NETIF_CHECKSUM_GEN_ICMP | NETIF_CHECKSUM_GEN_ICMP6)

static u16_t generate(const struct netdev *dev)
{
	return dev->offloads & NET_TX_CSUM_L4 ? GEN_ALL & ~NETIF_CHECKSUM_GEN_TCP : GEN_ALL;
}

static void receive(struct netdev *dev, struct netbuf *buffer)
{
	bool good = buffer->checksum_good;
	struct pbuf *p = rx_wrap(buffer);

	if (!p) {
		netif_counters.rx_dropped++;
		return;
	}
	/* lwIP processes the frame in this call, so the flags apply to it alone (and to a datagram
	 * that it completes: devices never check fragments). */
	netif.chksum_flags = generate(dev) | (good ? CHECK_REST : CHECK_ALL);
	if (netif.input(p, &netif) != ERR_OK)
		pbuf_free(p);
}

static void sent(struct netdev *dev, void *token)
{
	(void)dev;
	pbuf_free(token);
}

/* lwIP leaves only TCP checksums to the device, and never sends TCP in fragments. */
static bool is_tcp(const struct pbuf *p)
{
	const struct eth_hdr *eth = p->payload;
	const void *ip = eth + 1;

	if (eth->type == PP_HTONS(ETHTYPE_IP))
		return IPH_PROTO((const struct ip_hdr *)ip) == IP_PROTO_TCP;
	return eth->type == PP_HTONS(ETHTYPE_IPV6) &&
	       IP6H_NEXTH((const struct ip6_hdr *)ip) == IP6_NEXTH_TCP;
}

static err_t transmit(struct netif *n, struct pbuf *p)
{
	struct netdev *dev = n->state;
	struct net_segment segment[MAX_SEGMENTS];
	u32 nr = 0, limit = MIN(dev->max_segments, (u32)MAX_SEGMENTS), offload = 0;

	if (dev->gone)
		return ERR_IF;
	if (pbuf_clen(p) > limit) {
		p = pbuf_clone(PBUF_RAW, PBUF_RAM, p);
		if (!p)
			return ERR_MEM;
		netif_counters.tx_linearized++;
	} else {
		pbuf_ref(p);
	}
	if (dev->offloads & NET_TX_CSUM_L4 && is_tcp(p))
		offload = NET_TX_CSUM_L4;
	for (const struct pbuf *q = p; q; q = q->next)
		if (q->len)
			segment[nr++] = (struct net_segment){ q->payload, q->len };
	if (netdev_transmit(dev, segment, nr, offload, p)) {
		pbuf_free(p);
		return ERR_MEM;
	}
	return ERR_OK;
}

static void link_changed(struct netdev *dev)
{
	if (dev->link_up) {
		/* This may be another device than before. */
		memcpy(netif.hwaddr, dev->mac, sizeof(dev->mac));
		if (dev->link_mbps)
			print("net: %s: link up, %u Mb/s\n", dev->name, dev->link_mbps);
		else
			print("net: %s: link up\n", dev->name);
		netif_set_link_up(&netif);
	} else {
		print("net: %s: link down\n", dev->name);
		netif_set_link_down(&netif);
	}
}

static err_t init(struct netif *n)
{
	struct netdev *dev = n->state;

	n->name[0] = 'e';
	n->name[1] = 'n';
	n->mtu = (u16_t)dev->mtu;
	n->hwaddr_len = sizeof(dev->mac);
	memcpy(n->hwaddr, dev->mac, sizeof(dev->mac));
	n->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET;
	n->output = etharp_output;
	n->output_ip6 = ethip6_output;
	n->linkoutput = transmit;
	n->chksum_flags = generate(dev) | CHECK_ALL;
	return ERR_OK;
}

static void address_changed(struct netif *n)
{
	static ip4_addr_t last;

	if (ip4_addr_isany_val(*netif_ip4_addr(n)) || ip4_addr_cmp(&last, netif_ip4_addr(n)))
		return;
	last = *netif_ip4_addr(n);
	print("net: address %s", ip4addr_ntoa(&last));
	print(" mask %s", ip4addr_ntoa(netif_ip4_netmask(n)));
	print(" gateway %s\n", ip4addr_ntoa(netif_ip4_gw(n)));
	address_ready(n);
}

static bool parse(const char *key, const char *otherwise, ip4_addr_t *address)
{
	const char *text = option(key);

	if (text && ip4addr_aton(text, address))
		return true;
	if (text)
		print("net: %s=%s is not an IPv4 address; write for example %s=%s\n", key, text,
		      key, otherwise);
	ip4addr_aton(otherwise, address);
	return false;
}

static void set_static(void)
{
	ip4_addr_t ip, mask, gw;

	parse("ip", "10.0.2.15", &ip);
	parse("mask", "255.255.255.0", &mask);
	parse("gw", "10.0.2.2", &gw);
	netif_set_addr(&netif, &ip, &mask, &gw);
}

/* DHCP continues: a late answer still takes effect. */
static void dhcp_too_slow(void *arg)
{
	(void)arg;
	if (!ip4_addr_isany_val(*netif_ip4_addr(&netif)))
		return;
	print("net: no answer from DHCP after %u ms; using a static address\n", DHCP_PATIENCE_MS);
	set_static();
}

bool netif_open(struct netdev *dev, void (*ready)(struct netif *netif))
{
	address_ready = ready;
	lwip_init();
	netif_add_noaddr(&netif, dev, init, ethernet_input); /* fails only where init() does */
	netif_set_default(&netif);
	netif_set_status_callback(&netif, address_changed);
	dev->receive = receive;
	dev->sent = sent;
	dev->link_changed = link_changed;
	dev->stack = &netif;
	if (netdev_start(dev)) {
		print("net: cannot start %s\n", dev->name);
		return false;
	}
	netif_set_up(&netif);
	if (dev->link_up)
		netif_set_link_up(&netif);
	netif_create_ip6_linklocal_address(&netif, 1);
	netif.ip6_autoconfig_enabled = 1;
	if (option("ip")) {
		set_static();
	} else {
		dhcp_start(&netif);
		sys_timeout(DHCP_PATIENCE_MS, dhcp_too_slow, NULL);
	}
	return true;
}
