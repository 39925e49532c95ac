/* lwIP's network interface on a struct netdev. */
#pragma once

#include <lwip/netif.h>
#include <userland/drivers/netdev.h>

struct netif_counters {
	u64 rx_copied; /* frames copied because the stack held too many of the driver's buffers */
	u64 rx_dropped; /* frames dropped because there was no memory */
	u64 tx_linearized; /* frames copied because they had too many pieces */
	u64 held; /* the driver's buffers that the stack holds now */
};
extern struct netif_counters netif_counters;

/* Start the device and make it lwIP's only interface. Its address comes from the options ip= mask=
 * gw=, or from DHCP; if DHCP has not answered after 5 s, the options' defaults are used. `ready` is
 * called each time the IPv4 address changes. False, with a message, if the device does not
 * start. */
bool netif_open(struct netdev *dev, void (*ready)(struct netif *netif));
