/* The end of domains. */
#pragma once

struct domain;

/* Give a new domain its work item, which tears it down or starts it again. Boot. */
void teardown_init(struct domain *d);
