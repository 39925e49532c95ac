/* What GET /stats.json tells. */
#pragma once

#include <userland/drivers/netdev.h>

/* Weir's counters of this domain, asked now; NULL natively or if Weir refuses. */
const struct weir_stats *stats_weir(void);
/* Write the JSON text; returns its length. dev may be NULL. */
size_t stats_json(char *buf, size_t size, struct netdev *dev);
/* How long the CPU has been halted, in ns; main.c's. */
extern u64 idle_ns;
