/* Counters of lwIP's heap. */
#pragma once

#include <kernel/lib/compiler.h>

struct heap_counters {
	u64 used, used_max; /* bytes */
	u64 refused; /* requests; the caller retries at the next acknowledgement or poll */
};
extern struct heap_counters heap_counters;
