/* See kernel/mm/bootmem.h. */
#include <kernel/mm/bootmem.h>

#include <kernel/core/log.h>
#include <kernel/core/paging.h>
#include <kernel/core/panic.h>
#include <kernel/lib/string.h>
#include <kernel/mm/alloc.h>
#include <kernel/mm/bootinfo.h>
#include <kernel/mm/frame.h>
#include <kernel/mm/memmap.h>

/* What boot/entry.asm maps, and so what can be written before paging_init(). */
#define EARLY_LIMIT (4UL << 30)

extern const u8 _load_start[], _image_end[];

static struct range ram_ranges[BOOT_MAX_RANGES];
static struct range free_ranges[BOOT_MAX_RANGES + BOOT_MAX_MODULES + 16];
static struct range reserved_ranges[BOOT_MAX_RANGES];
static struct rangeset ram, free_ram, reserved;
static u64 nr_frames;

static bool find_reserved(const struct boot_info *info)
{
	rangeset_init(&reserved, "reserved memory", reserved_ranges, ARRAY_SIZE(reserved_ranges));
	for (u32 i = 0; i < info->nr_ranges; i++) {
		const struct memmap_entry *e = &info->range[i];

		paddr_t last = e->base + e->len - 1;

		if (e->type != MEMMAP_RAM && e->type != MEMMAP_BAD && e->len && last >= e->base &&
		    memmap_add(&reserved, e->base >> PAGE_SHIFT, last >> PAGE_SHIFT))
			return false;
	}
	return true;
}

bool bootmem_init(const struct boot_info *info)
{
	rangeset_init(&ram, "RAM", ram_ranges, ARRAY_SIZE(ram_ranges));
	rangeset_init(&free_ram, "free RAM at boot", free_ranges, ARRAY_SIZE(free_ranges));
	nr_frames = memmap_build(&ram, info->range, info->nr_ranges);
	if (!nr_frames) {
		log_err("the firmware's memory map has no usable RAM");
		return false;
	}
	if (!find_reserved(info))
		return false;
	rangeset_for_each(r, &ram)
		if (memmap_add(&free_ram, r->first, r->last))
			return false;
	/* Page 0 contains real mode's vectors and the firmware's data, and its number looks like
	 * "none" in many places. */
	memmap_reserve(&free_ram, 0, PAGE_SIZE);
	memmap_reserve(&free_ram, (paddr_t)_load_start,
		       virt_to_phys(_image_end) - (paddr_t)_load_start);
	for (u32 i = 0; i < info->nr_modules; i++)
		memmap_reserve(&free_ram, info->module[i].start,
			       info->module[i].end - info->module[i].start);
	log_info("memory: %lu MiB of RAM in %u ranges", rangeset_count(&ram) >> (20 - PAGE_SHIFT),
		 ram.nr);
	return true;
}

const struct rangeset *bootmem_ram(void)
{
	return &ram;
}

const struct rangeset *bootmem_reserved(void)
{
	return &reserved;
}

void *bootmem_pages(u64 nr)
{
	u64 largest;
	paddr_t pa = memmap_place(&free_ram, nr << PAGE_SHIFT, EARLY_LIMIT, &largest);

	if (pa == MEMMAP_NO_PLACE)
		panic("no %lu KiB of RAM below 4 GiB to start with", nr << (PAGE_SHIFT - 10));
	return memset(phys_to_virt(pa), 0, nr << PAGE_SHIFT);
}

static void set_owned_by_weir(paddr_t start, u64 size)
{
	mfn_t end = (start + size + PAGE_SIZE - 1) >> PAGE_SHIFT;

	for (mfn_t mfn = start >> PAGE_SHIFT; mfn < end; mfn++)
		if (frame_set(mfn, ORDER_4K, FRAME_WEIR, OWNER_WEIR))
			BUG();
}

bool bootmem_start_allocator(void)
{
	paddr_t table = memmap_place_frame_table(&free_ram, MMIO_BASE - DIRECT_MAP_BASE,
						 &nr_frames);
	u64 large = 0;

	if (table == MEMMAP_NO_PLACE) {
		log_err("there is not enough RAM for the frame table");
		return false;
	}
	memset(phys_to_virt(table), 0, frame_table_size(nr_frames));
	frame_table_init(phys_to_virt(table), nr_frames);
	set_owned_by_weir((paddr_t)_load_start, virt_to_phys(_image_end) - (paddr_t)_load_start);
	set_owned_by_weir(table, frame_table_size(nr_frames));
	rangeset_for_each(r, &free_ram)
		alloc_add(r->first, r->last - r->first + 1);
	paging_use_allocator();
	for (u32 order = ORDER_2M; order < ORDER_1G; order++)
		large += alloc_free_blocks(order) << (order - ORDER_2M);
	log_info("memory: %lu MiB free (%lu 1 GiB blocks, %lu 2 MiB blocks)",
		 alloc_free_frames() >> (20 - PAGE_SHIFT), alloc_free_blocks(ORDER_1G), large);
	return true;
}
