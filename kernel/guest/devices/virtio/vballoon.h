/* A guest's balloon (virtio 1.2, 5.5): memory that the guest gives back when the control domain
 * asks for it, and takes again. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;
struct vvirtio;

/* Put a balloon on d's bus. Boot, before d runs. -ENOMEM. */
int __must_check vballoon_init(struct domain *d);
/* Nobody uses the domain any more. */
void vballoon_free(struct domain *d);
/* Empty, as after power-on: the domain restarts with all its memory. None of its vCPUs runs. */
void vballoon_power_on(struct domain *d);
/* Ask d to have given back this many pages in all. -ENODEV: it has no balloon, or no driver for it;
 * -EINVAL: that is more than it has; -ENOMEM: the pages that it would take again are not free. No
 * lock is held. */
int __must_check vballoon_ask(struct domain *d, u64 pages);
/* Pages asked for, and pages given back according to the driver. False: there is no balloon. Any
 * context. */
bool vballoon_pages(const struct domain *d, u64 *asked, u64 *given);
