/* A domain's counters, gathered from all that keep some for it. */
#pragma once

struct domain;
struct weir_stats;

/* Fill in its counters. The domain is the caller's own or held (domain_get()). */
void domain_stats(struct domain *d, struct weir_stats *s);
