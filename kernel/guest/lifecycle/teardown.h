/* The tear-down of domains. */
#pragma once

struct domain;

/* Set up the work item of a new domain, which tears it down or restarts it. Boot. */
void teardown_init(struct domain *d);
/* The last domain has ended, and no others are being built: log it, and end a test. */
void teardown_all_ended(void);
