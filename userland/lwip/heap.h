/* lwIP's heap, seen from outside. */
#pragma once

#include <kernel/lib/compiler.h>

struct heap_counters {
	u64 used, used_max; /* bytes */
	u64 refused; /* requests: what they were for waits for the next acknowledgement or poll */
};
extern struct heap_counters heap_counters;
