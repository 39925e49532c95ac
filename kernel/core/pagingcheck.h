/* A check of Weir's own page tables, for debug images and tests. */
#pragma once

#include <kernel/lib/compiler.h>

/* False, and the log says where: a frame can be executed by one mapping and written by the same or
 * another one. One log line in any case. Boot, when no CPU is being started. */
bool paging_check(void);
