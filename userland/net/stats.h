/* The answer to GET /stats.json. */
#pragma once

#include <userland/drivers/netdev.h>

/* Weir's current counters of this domain; NULL natively or if Weir refuses. */
const struct weir_stats *stats_weir(void);
/* Write the JSON text; returns its length. dev may be NULL. */
size_t stats_json(char *buf, size_t size, struct netdev *dev);
/* How long the CPU has been halted, in ns. Defined in main.c. */
extern u64 idle_ns;
