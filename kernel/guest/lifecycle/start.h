/* How a domain starts, at boot and again. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct domain;
struct guest_entry;

/* Load a bounded part of its kernel and ramdisks, and then its firmware, into its memory, which is
 * zero; *done (first 0) is how far it is. A step (STEP_DONE: *entry is valid), or the error, which
 * the log explains. */
int __must_check start_load_step(struct domain *d, u64 *done, struct guest_entry *entry);
/* Its devices are there: the ones that Weir emulates and the vCPUs are as after power-on, and the
 * first vCPU runs. */
void start_run(struct domain *d, const struct guest_entry *entry);
