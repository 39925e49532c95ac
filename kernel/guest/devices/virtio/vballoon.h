/* A guest's memory balloon (virtio 1.2, 5.5): the guest gives memory back when the control domain
 * asks for it, and can take it again. */
#pragma once

#include <kernel/lib/compiler.h>

struct domain;
struct vvirtio;

/* Create a balloon on d's bus. Boot, before d runs. -ENOMEM. */
int __must_check vballoon_init(struct domain *d);
/* Free d's balloon, if it has one. Nothing uses it any longer. */
void vballoon_free(struct domain *d);
/* Reset the balloon to its empty state after power-on: d restarts with all its memory. None of its
 * vCPUs runs. */
void vballoon_power_on(struct domain *d);
/* Ask d to give back pages until it has given back this many in total. -ENODEV: it has no balloon,
 * or no driver for it; -EINVAL: that is not less than all of d's memory; -ENOMEM: d would get pages
 * back, but not enough are free (now). No lock is held. */
int __must_check vballoon_ask(struct domain *d, u64 pages);
/* *asked: the pages asked for; *given: the pages given back, according to the driver. False: there
 * is no balloon. Any context. */
bool vballoon_pages(const struct domain *d, u64 *asked, u64 *given);
