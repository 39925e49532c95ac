/* A small HTTP/1.1 server on port 80: a page with live counters, release of memory, and streams for
 * measurements. docs/network-guest.md lists its requests. */
#pragma once

#include <userland/drivers/netdev.h>

void http_start(struct netdev *dev);
