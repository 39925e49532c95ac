/* lwIP's heap: free lists for a few block sizes. Blocks are cut from a fixed region and never
 * merged again. A request takes a block from the list of its size, or cuts a new one from the
 * region, or takes a larger free block, in this order. */
#include "heap.h"

#include <lwip/opt.h>
#include <string.h>
#include "../runtime/runtime.h"

/* TCP_SND_BUF for each connection that http and echo accept, plus their small allocations. */
#define REGION_SIZE (14UL << 20)

/* The third from the end holds a full segment with pbuf and headers. */
static const u32 sizes[] = { 128, 256, 640, 1664, 4096, 0x11000 };
#define NR_SIZES ARRAY_SIZE(sizes)

struct block {
	union {
		struct block *next; /* free */
		u64 size_index; /* in use */
	};
	u64 reserved; /* aligns data to 16 bytes */
	u8 data[];
};
_Static_assert(sizeof(struct block) % MEM_ALIGNMENT == 0, "lwipopts.h");

static struct block *free_list[NR_SIZES];
static u8 *region, *rest;
struct heap_counters heap_counters;

static struct block *cut(u32 index)
{
	struct block *b = (struct block *)rest;

	if (!region) {
		region = rest = heap_take(REGION_SIZE, MEM_ALIGNMENT);
		b = (struct block *)rest;
	}
	if ((size_t)(region + REGION_SIZE - rest) < sizeof(*b) + sizes[index])
		return NULL;
	rest += sizeof(*b) + sizes[index];
	return b;
}

void *lwip_heap_malloc(unsigned long size)
{
	struct block *b = NULL;
	u32 index = 0;

	while (index < NR_SIZES && sizes[index] < size)
		index++;
	if (index == NR_SIZES)
		goto refused;
	if (!free_list[index])
		b = cut(index);
	if (!b) {
		while (index < NR_SIZES && !free_list[index])
			index++;
		if (index == NR_SIZES)
			goto refused;
		b = free_list[index];
		free_list[index] = b->next;
	}
	b->size_index = index;
	heap_counters.used += sizes[index];
	heap_counters.used_max = MAX(heap_counters.used, heap_counters.used_max);
	return b->data;
refused:
	heap_counters.refused++;
	return NULL;
}

void *lwip_heap_calloc(unsigned long count, unsigned long size)
{
	void *p = lwip_heap_malloc(count * size);

	return p ? memset(p, 0, count * size) : NULL;
}

void lwip_heap_free(void *block)
{
	struct block *b = container_of(block, struct block, data);
	u64 index = b->size_index;

	heap_counters.used -= sizes[index];
	b->next = free_list[index];
	free_list[index] = b;
}
