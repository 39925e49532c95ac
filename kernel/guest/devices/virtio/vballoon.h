/* A guest's balloon (virtio 1.2, 5.5): memory that the guest gives back because the control domain asks for it, and takes again. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;
struct vvirtio;

/* Put a balloon on d's bus. Boot, before it runs. -ENOMEM */
int __must_check vballoon_init(struct domain *d);
/* When nobody uses the domain any more. */
void vballoon_free(struct domain *d);
/* Empty, as after power-on: the domain starts again with all its memory. No vCPU of it runs. */
void vballoon_power_on(struct domain *d);
/* Ask for `pages` to be given back in all. -ENODEV: it has no balloon, or no driver for it; -EINVAL: more than it has; -ENOMEM: what
 * it would take again is not there. */
int vballoon_ask(struct domain *d, u64 pages);
/* Pages asked for, and given back as far as the driver says. False: there is no balloon. */
bool vballoon_pages(const struct domain *d, u64 *asked, u64 *given);
