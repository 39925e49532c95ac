/* Memory: the largest free block below 4 GiB. Its lower part is the heap, its upper part the spare
 * region. */
#include <string.h>
#include "boot.h"

#define LOW_END 0x100000UL /* the loader's structures may lie below */
#define SPARE_ALIGN 0x200000UL
#define HEAP_MINIMUM (16UL << 20)

static struct memory_region heap, spare;
static u64 heap_next;

/* Make the free block of this usable region that starts at `from` the heap, if it is the largest so
 * far. */
static void consider(u64 from, const struct memory_region *region)
{
	u64 end = MIN(region->base + region->size, 1UL << 32);
	const struct memory_region *used;
	u32 nr;

	used = boot_used(&nr);
	if (from < LOW_END)
		from = LOW_END;
	if (from < region->base)
		from = region->base;
	for (u32 i = 0; i < nr; i++) {
		if (from >= used[i].base && from < used[i].base + used[i].size)
			return;
		if (used[i].base > from && used[i].base < end)
			end = used[i].base;
	}
	from = ALIGN_UP(from, PAGE_SIZE);
	end = ALIGN_DOWN(end, PAGE_SIZE);
	if (end > from && end - from > heap.size)
		heap = (struct memory_region){ from, end - from };
}

void memory_init(void)
{
	const struct memory_region *usable, *used;
	u32 nr_usable, nr_used;
	u64 middle, end;

	usable = boot_usable(&nr_usable);
	used = boot_used(&nr_used);
	for (u32 i = 0; i < nr_usable; i++) {
		consider(usable[i].base, &usable[i]);
		for (u32 j = 0; j < nr_used; j++)
			consider(used[j].base + used[j].size, &usable[i]);
	}
	end = heap.base + heap.size;
	middle = ALIGN_UP(heap.base + MAX(heap.size / 2, HEAP_MINIMUM), SPARE_ALIGN);
	if (middle < end) {
		spare = (struct memory_region){ middle, ALIGN_DOWN(end, SPARE_ALIGN) - middle };
		heap.size = middle - heap.base;
	}
	heap_next = heap.base;
}

void *heap_take(size_t size, size_t align)
{
	u64 at = ALIGN_UP(heap_next, align);

	if (size > heap.size || at + size > heap.base + heap.size)
		fatal("out of heap: %zu KiB requested, %lu KiB left; give this guest more memory",
		      size >> 10, heap_free_bytes() >> 10);
	heap_next = at + size;
	return memset((void *)at, 0, size);
}

u64 heap_free_bytes(void)
{
	return heap.base + heap.size - heap_next;
}

struct memory_region spare_region(void)
{
	return spare;
}
