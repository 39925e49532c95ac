/* A domain's memory, as seen by its devices. */
#pragma once

#include <kernel/lib/compiler.h>
#include <kernel/lib/types.h>

struct memory;

/* Called before the domain's first device is attached: map a bounded part of what its CPUs can
 * access for its devices as well, starting at *gfn (initially 0), and advance *gfn. The domain may
 * give memory back or take it meanwhile. Returns a step (STEP_DONE: everything is mapped now;
 * STEP_WAIT: try again later), -ENOMEM, or the frame table's error. */
int __must_check memory_map_for_devices(struct memory *m, gfn_t *gfn);
/* The frame number at which the domain's devices access the memory at gfn; -ENOENT: there is no
 * memory. Takes nested.lock. */
s64 memory_device_frame(struct memory *m, gfn_t gfn);
