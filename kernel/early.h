/* Memory before the allocator: pages cut off the end of one range of RAM, never given back. */
#pragma once

#include <kernel/compiler.h>

struct boot_info;

/* Choose the range: the largest piece of RAM below 4 GiB that neither the image nor a module nor the boot information at
 * [used, used_end) lies in. */
void early_init(const struct boot_info *info, paddr_t used, paddr_t used_end);
/* nr zeroed, contiguous pages; panics when the range is used up, since nothing can go on without. */
void *early_pages(u64 nr);
/* What was taken, [start, end), belongs to Weir. */
paddr_t early_start(void);
paddr_t early_end(void);
