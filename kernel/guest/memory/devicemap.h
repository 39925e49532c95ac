/* A domain's memory as its devices see it. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct memory;

/* Before the domain's first device is attached: map a bounded part of what its CPUs reach for its
 * devices too, from *gfn (first 0) on. A step (STEP_DONE: all is mapped, or was; STEP_WAIT: try
 * again later), -ENOMEM, or what the frame table refused. What the domain gives back or takes
 * meanwhile is kept right. */
int __must_check memory_map_for_devices(struct memory *m, gfn_t *gfn);
/* The frame by which the domain's devices reach what is at gfn; -ENOENT: no memory. */
s64 memory_device_frame(struct memory *m, gfn_t gfn);
