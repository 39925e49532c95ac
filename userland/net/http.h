/* A small HTTP/1.1 server on port 80: the page, its counters, memory release, and streams to
 *measure with.
 *
 *	GET /                          the page
 *	GET /stats.json                counters
 *	GET /release?mb=N[&hold=MS]    give back N MiB of the spare region, take them again (501
 *without Weir) GET /blob?mb=N[&seed=S]        N MiB of the stream of blob.h POST /sink takes a
 *body; answers its length and CRC-32
 */
#pragma once

#include <userland/drivers/netdev.h>

void http_start(struct netdev *dev);
