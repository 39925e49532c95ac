/* A domain's counters, gathered from everything that counts for it. */
#pragma once

struct domain;
struct weir_stats;

/* Its counters now. The domain is the caller's, or held (domain_get()). */
void domain_stats(struct domain *d, struct weir_stats *s);
