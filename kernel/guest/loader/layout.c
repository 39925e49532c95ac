/* Where things go in a guest's memory: its map, and what of it is free. */
#include <kernel/lib/errno.h>
#include <kernel/guest/loader/guest.h>

/* Page 0 holds the real-mode vectors and the BIOS data area, which kernels look at: never placed
 * there. */
#define FIRST_PLACE 0x10000UL
#define PLACE_LIMIT 0x100000000UL /* start structures hold 32-bit addresses */

u32 guest_memory_map(u64 ram, struct guest_map_entry map[GUEST_MAP_ENTRIES])
{
	u64 low = MIN(ram, GUEST_HOLE_START);
	u32 n = 0;

	map[n++] = (struct guest_map_entry){ 0, MIN(low, GUEST_LOW_END), 1 };
	if (low > GUEST_LOW_END)
		map[n++] = (struct guest_map_entry){ GUEST_LOW_END,
						     GUEST_HIGH_START - GUEST_LOW_END, 2 };
	if (low > GUEST_HIGH_START)
		map[n++] = (struct guest_map_entry){ GUEST_HIGH_START, low - GUEST_HIGH_START, 1 };
	if (ram > low)
		map[n++] = (struct guest_map_entry){ GUEST_HOLE_END, ram - low, 1 };
	return n;
}

void layout_init(struct guest_layout *l, u64 ram)
{
	struct guest_map_entry map[GUEST_MAP_ENTRIES];
	u32 nr = guest_memory_map(ram, map);

	l->ram = ram;
	rangeset_init(&l->free, "guest memory layout", l->storage, ARRAY_SIZE(l->storage));
	for (u32 i = 0; i < nr; i++)
		if (map[i].type == 1)
			(void)!rangeset_add(&l->free, map[i].base, map[i].base + map[i].len - 1);
}

static bool is_usable(u64 ram, gpaddr_t gpa, u64 len)
{
	struct guest_map_entry map[GUEST_MAP_ENTRIES];
	u32 nr = guest_memory_map(ram, map);

	for (u32 i = 0; i < nr; i++)
		if (map[i].type == 1 && gpa >= map[i].base && gpa - map[i].base <= map[i].len &&
		    len <= map[i].len - (gpa - map[i].base))
			return true;
	return false;
}

int layout_claim(struct guest_layout *l, gpaddr_t gpa, u64 len)
{
	if (!is_usable(l->ram, gpa, len))
		return -ERANGE;
	/* Full storage gives up free memory, never what was claimed. */
	if (len)
		(void)rangeset_remove(&l->free, gpa, gpa + len - 1);
	return 0;
}

/* The part of a free range where whole pages can be placed; false if there is none. */
static bool placeable(const struct range *r, gpaddr_t *first, gpaddr_t *end)
{
	*first = ALIGN_UP(MAX(r->first, FIRST_PLACE), PAGE_SIZE);
	*end = ALIGN_DOWN(MIN(r->last + 1, PLACE_LIMIT), PAGE_SIZE);
	return *first < *end;
}

static void occupy(struct guest_layout *l, gpaddr_t gpa, u64 len)
{
	(void)rangeset_remove(&l->free, gpa, gpa + len - 1);
}

bool layout_place_low(struct guest_layout *l, u64 len, gpaddr_t *gpa)
{
	gpaddr_t first, end;

	if (!len || len > PLACE_LIMIT)
		return false;
	len = ALIGN_UP(len, PAGE_SIZE);
	rangeset_for_each(r, &l->free) {
		if (!placeable(r, &first, &end) || end - first < len)
			continue;
		*gpa = first;
		occupy(l, first, len);
		return true;
	}
	return false;
}

bool layout_place_high(struct guest_layout *l, u64 len, gpaddr_t *gpa)
{
	gpaddr_t first, end;

	if (!len || len > PLACE_LIMIT)
		return false;
	len = ALIGN_UP(len, PAGE_SIZE);
	for (u32 i = l->free.nr; i-- > 0;) {
		if (!placeable(&l->free.range[i], &first, &end) || end - first < len)
			continue;
		*gpa = end - len;
		occupy(l, end - len, len);
		return true;
	}
	return false;
}

void layout_leave_above(struct guest_layout *l, gpaddr_t last)
{
	(void)rangeset_remove(&l->free, last + 1, ~0UL);
}

u64 layout_largest(const struct guest_layout *l)
{
	u64 largest = 0;
	gpaddr_t first, end;

	rangeset_for_each(r, &l->free)
		if (placeable(r, &first, &end))
			largest = MAX(largest, end - first);
	return largest;
}
