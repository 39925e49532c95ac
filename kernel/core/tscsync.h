/* Compares the TSC of a CPU that starts with the bootstrap processor's. All CPUs count time from
 * the same TSC value (kernel/core/clock.h), so time would wrap on a CPU whose TSC is behind. */
#pragma once

#include <kernel/lib/compiler.h>

enum tscsync { TSC_UNKNOWN, TSC_AGREES, TSC_BEHIND, TSC_AHEAD };

/* The bootstrap processor is about to start another one. */
void tscsync_begin(void);
/* The other one: make IA32_TSC_ADJUST equal where there is one, then compare. It waits for
 * tscsync_poll(). False: the TSCs differ, and the calling CPU must stay off. */
bool __must_check tscsync_join(void);
/* The bootstrap processor, until the other one has joined: take part in the comparison. */
enum tscsync tscsync_poll(void);
