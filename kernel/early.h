/* Memory before the allocator: pages cut off one range of RAM, never given back. */
#pragma once

#include <kernel/compiler.h>

/* Use RAM [start, end), page aligned, below 4 GiB. */
void early_init(paddr_t start, paddr_t end);
/* nr zeroed, contiguous pages; panics when the range is used up, since nothing can go on without. */
void *early_pages(u64 nr);
/* What was used: [start, next) belongs to Weir. */
paddr_t early_start(void);
paddr_t early_next(void);
