/* lwIP's network interface over a struct netdev. */
#pragma once

#include <lwip/netif.h>
#include <userland/drivers/netdev.h>

struct netif_counters {
	u64 rx_copied; /* frames copied because the stack held too many of the driver's buffers */
	u64 rx_dropped; /* frames lost for want of memory */
	u64 tx_linearized; /* frames copied because they had too many pieces */
	u64 held; /* the driver's buffers that the stack holds now */
};
extern struct netif_counters netif_counters;

/* Start the device and make it lwIP's only interface; it then has an address by DHCP, else after
 * some seconds 10.0.2.15/24, or at once what the options ip= mask= gw= say. `ready` is called each
 * time it gets another IPv4 address. False if the device does not start, which is said. */
bool netif_open(struct netdev *dev, void (*ready)(struct netif *netif));
