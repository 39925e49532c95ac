/* The interrupts of a function as a whole: reserved when it is attached, opened when their entries
 * have come into force, and removed with it. */
#pragma once

#include <kernel/lib/compiler.h>

struct vfunction;

/* Reserve what f needs for MSI and for up to nr_vectors of MSI-X, unless it has that from before a
 * restart: f->reserved says for how many interrupts. An error is in `why`: -ENOSPC. */
int __must_check virqset_reserve(struct vfunction *f, u32 nr_vectors, char *why, size_t size);
/* Block all interrupts of f, and hold it (assign_hold()) until none can arrive any longer. It has
 * left the bus, which is not locked. */
void virqset_remove(struct vfunction *f);
/* Give back what is reserved. Nothing holds f. */
void virqset_release(struct vfunction *f);
