/* The start of a domain, at boot and at a restart. */
#pragma once

#include <iommu/identity.h>
#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct domain;
struct guest_entry;

/* Build and start the domain of this kernel line. What cannot be had is said in the log, and the
 * domain is left out. Boot. */
void start_new(u32 index, enum identity_policy policy);

/* Load a bounded part of its kernel and ramdisks, and then its firmware, into its memory, which is
 * zero. *done counts what is done and begins at 0. Returns a step (STEP_DONE: *entry is valid), or
 * an error, which the log explains. */
int __must_check start_load_step(struct domain *d, u64 *done, struct guest_entry *entry);
/* Reset the emulated devices and the vCPUs to their state after power-on, and start the first vCPU.
 * Its devices are attached already. */
void start_run(struct domain *d, const struct guest_entry *entry);
