/* Memory: the largest free piece below 4 GiB, its lower part the heap, its upper part kept aside as
 * the spare region. */
#include <string.h>
#include "boot.h"

#define LOW_END 0x100000UL /* below: start structures of the loader */
#define SPARE_ALIGN 0x200000UL
#define HEAP_MINIMUM (16UL << 20)

static struct memory_region heap, spare;
static u64 heap_next;

/* The largest free piece that begins at `from` or right behind a used one, in one usable region. */
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
		fatal("the heap is too small: %zu KiB asked, %lu KiB left; give more memory",
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
