#include <boot/multiboot2.h>
#include <kernel/early.h>
#include <kernel/paging.h>
#include <kernel/panic.h>
#include <kernel/string.h>

/* What boot/entry.asm maps, and so what can be written before paging_init(). */
#define EARLY_LIMIT (4UL << 30)

extern const u8 image_start[], image_end[];

static paddr_t start, next, end; /* [next, end) was taken */

struct span {
	paddr_t start, end;
};

/* Cut `used` out of `free`, keeping the larger side. */
static void cut(struct span *free, paddr_t used, paddr_t used_end)
{
	if (used_end <= free->start || used >= free->end)
		return;
	used = MAX(used, free->start);
	used_end = MIN(used_end, free->end);
	if (used - free->start > free->end - used_end)
		free->end = used;
	else
		free->start = used_end;
}

void early_init(const struct boot_info *info, paddr_t used, paddr_t used_end)
{
	struct span best = { 0, 0 };

	for (u32 i = 0; i < info->nr_ranges; i++) {
		struct span s = { info->range[i].start, MIN(info->range[i].end, EARLY_LIMIT) };

		if (info->range[i].type != BOOT_RAM || s.start >= s.end)
			continue;
		/* Ranges that the firmware gave twice, with different types: the stricter one holds. */
		for (u32 j = 0; j < info->nr_ranges; j++)
			if (info->range[j].type != BOOT_RAM)
				cut(&s, info->range[j].start, info->range[j].end);
		cut(&s, virt_to_phys(image_start), virt_to_phys(image_end));
		cut(&s, used, used_end);
		for (u32 j = 0; j < info->nr_modules; j++)
			cut(&s, info->module[j].start, info->module[j].end);
		s.start = ALIGN_UP(s.start, PAGE_SIZE);
		s.end = ALIGN_DOWN(s.end, PAGE_SIZE);
		if (s.start < s.end && s.end - s.start > best.end - best.start)
			best = s;
	}
	start = best.start;
	next = end = best.end;
}

void *early_pages(u64 nr)
{
	if (nr > (next - start) >> PAGE_SHIFT)
		panic("there are not even %lu free pages below 4 GiB to start with", nr);
	next -= nr << PAGE_SHIFT;
	return memset(phys_to_virt(next), 0, nr << PAGE_SHIFT);
}

paddr_t early_start(void)
{
	return next;
}

paddr_t early_end(void)
{
	return end;
}
