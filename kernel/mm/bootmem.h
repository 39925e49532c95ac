/* Memory before and until the allocator: what RAM there is, what of it is taken, pages for the
 * first tables. */
#pragma once

#include <kernel/lib/rangeset.h>

struct boot_info;

/* Sort the firmware's map; take out the image and the modules. False: no usable RAM (said in the
 * log). */
bool __must_check bootmem_init(const struct boot_info *info);
/* All RAM, as frame numbers, taken or not. */
const struct rangeset *bootmem_ram(void);
/* What the firmware's map says is there and is no RAM, broken memory left out: frames that such an entry touches. */
const struct rangeset *bootmem_reserved(void);
/* nr zeroed, contiguous pages below 4 GiB, for ever; panics when there are none, since nothing can
 * go on without. Before bootmem_start_allocator() only. */
void *bootmem_pages(u64 nr);
/* Set up the frame table and give all RAM that is left to the allocator; needs the direct map.
 * Modules stay reserved: whoever has used one up gives its frames to alloc_add(). */
bool __must_check bootmem_start_allocator(void);
