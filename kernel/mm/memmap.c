/* See kernel/mm/memmap.h. */
#include <kernel/mm/memmap.h>

#include <kernel/core/log.h>
#include <kernel/mm/frame.h>

#define FIRST_MIB_FRAMES 0x100UL

/* The last byte of an entry. An entry that runs past the end of the address space is truncated. */
static paddr_t last_byte(const struct memmap_entry *e)
{
	return e->len - 1 > ~0UL - e->base ? ~0UL : e->base + e->len - 1;
}

int memmap_add(struct rangeset *set, mfn_t first, mfn_t last)
{
	int ret = rangeset_add(set, first, last);

	if (ret)
		log_err("memory map: %s: no room for more than %u ranges: "
			"frames %llx-%llx are left out",
			set->name, set->max, (unsigned long long)first, (unsigned long long)last);
	return ret;
}

static void add_ram(struct rangeset *ram, const struct memmap_entry *e)
{
	paddr_t last = last_byte(e);
	u64 first_frame, end_frame;

	if (last - e->base != e->len - 1)
		log_warn("memory map: RAM at %llx, %llx bytes, "
			 "runs past the end of the address space: truncated",
			 (unsigned long long)e->base, (unsigned long long)e->len);
	/* Whole frames only: shrink to page borders. */
	first_frame = (e->base >> PAGE_SHIFT) + !!(e->base & ~PAGE_MASK);
	end_frame = (last >> PAGE_SHIFT) + ((last & ~PAGE_MASK) == ~PAGE_MASK);
	if (end_frame > MEMMAP_MAX_FRAMES) {
		log_warn("memory map: RAM above %llx is not used: the frame table ends there",
			 (unsigned long long)MEMMAP_MAX_FRAMES << PAGE_SHIFT);
		end_frame = MEMMAP_MAX_FRAMES;
	}
	if (first_frame < end_frame && memmap_add(ram, first_frame, end_frame - 1))
		log_warn("memory map: that RAM stays unused");
}

void memmap_reserve(struct rangeset *ram, paddr_t base, u64 len)
{
	struct memmap_entry e = { .base = base, .len = len };

	if (len && rangeset_remove(ram, base >> PAGE_SHIFT, last_byte(&e) >> PAGE_SHIFT))
		log_err("memory map: %s: no room for more than %u ranges: "
			"the smaller part beside %llx is left out",
			ram->name, ram->max, (unsigned long long)base);
}

static u64 nr_frames(const struct rangeset *ram)
{
	return ram->nr ? ram->range[ram->nr - 1].last + 1 : 0;
}

u64 memmap_build(struct rangeset *ram, const struct memmap_entry *entry, u32 nr)
{
	ram->nr = 0;
	for (u32 i = 0; i < nr; i++)
		if (entry[i].type == MEMMAP_RAM && entry[i].len)
			add_ram(ram, &entry[i]);
	for (u32 i = 0; i < nr; i++)
		if (entry[i].type != MEMMAP_RAM)
			memmap_reserve(ram, entry[i].base, entry[i].len);
	return nr_frames(ram);
}

paddr_t memmap_place(struct rangeset *ram, u64 size, paddr_t limit, u64 *largest)
{
	u64 need = (size >> PAGE_SHIFT) + !!(size & ~PAGE_MASK), best_frames = ~0UL, best_end = 0;

	*largest = 0;
	rangeset_for_each(r, ram) {
		u64 first = MAX(r->first, FIRST_MIB_FRAMES),
		    end = MIN(r->last + 1, limit >> PAGE_SHIFT);

		if (first >= end)
			continue;
		*largest = MAX(*largest, (end - first) << PAGE_SHIFT);
		if (end - first >= need && end - first < best_frames) {
			best_frames = end - first;
			best_end = end;
		}
	}
	if (!need || !best_end)
		return MEMMAP_NO_PLACE;
	rangeset_remove(ram, best_end - need, best_end - 1);
	return (best_end - need) << PAGE_SHIFT;
}

paddr_t memmap_place_frame_table(struct rangeset *ram, paddr_t limit, u64 *frames)
{
	while (ram->nr) {
		const struct range *top = &ram->range[ram->nr - 1];
		u64 largest;
		paddr_t pa = memmap_place(ram, frame_table_size(*frames), limit, &largest);

		if (pa != MEMMAP_NO_PLACE)
			return pa;
		log_warn("memory map: the frame table for RAM up to %llx needs %llu KiB, "
			 "but the largest free range has %llu KiB: RAM at %llx-%llx is not used",
			 (unsigned long long)*frames << PAGE_SHIFT,
			 (unsigned long long)frame_table_size(*frames) >> 10,
			 (unsigned long long)largest >> 10,
			 (unsigned long long)top->first << PAGE_SHIFT,
			 (unsigned long long)((top->last + 1) << PAGE_SHIFT) - 1);
		ram->nr--;
		*frames = nr_frames(ram);
	}
	return MEMMAP_NO_PLACE;
}
