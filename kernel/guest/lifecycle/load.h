/* What is loaded where: a domain's kernel and ramdisks. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct domain;
struct guest_entry;

/* Load a bounded part of d->kernel and the ramdisks of d, whose memory is zero; *done (first 0) is
 * how far it is, in bytes. A step (STEP_DONE: *entry is valid), or the error, which the log
 * explains. */
int __must_check load_step(struct domain *d, u64 *done, struct guest_entry *entry);
