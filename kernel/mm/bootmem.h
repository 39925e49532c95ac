/* Memory until the allocator is set up: which RAM there is, which of it is in use, and pages for
 * the first page tables. */
#pragma once

#include <kernel/lib/rangeset.h>

struct boot_info;

/* Sort the firmware's map; take out the image and the modules. False: no usable RAM (the log
 * says so). */
bool __must_check bootmem_init(const struct boot_info *info);
/* All RAM, as frame numbers, in use or not. */
const struct rangeset *bootmem_ram(void);
/* Frames that the firmware's map lists as something other than RAM, except for broken memory. */
const struct rangeset *bootmem_reserved(void);
/* nr zeroed, contiguous pages below 4 GiB, which are never freed. Panics if there are none, because
 * Weir cannot start without them. Before bootmem_start_allocator() only. */
void *bootmem_pages(u64 nr);
/* Set up the frame table and give the remaining RAM to the allocator; needs the direct map. Modules
 * stay reserved: the code that has finished with one passes its frames to alloc_add(). */
bool __must_check bootmem_start_allocator(void);
