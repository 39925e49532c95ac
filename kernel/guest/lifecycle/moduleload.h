/* Loading a domain's kernel and ramdisks. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/step.h>

struct domain;
struct guest_entry;

/* Load a bounded part of d's kernel and ramdisks into its memory, which is zero. *done counts the
 * bytes done and begins at 0. Returns a step (STEP_DONE: *entry is valid), or an error, which the
 * log explains. */
int __must_check module_load_step(struct domain *d, u64 *done, struct guest_entry *entry);
