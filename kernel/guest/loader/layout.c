/* Which usable guest memory is still free while a guest is loaded. */
#include <kernel/guest/loader/layout.h>

#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/errno.h>

/* Kernels look at page 0, where a PC has the real-mode vectors and the BIOS data area: nothing is
 * placed there, nor in the rest of the first 64 KiB. */
#define FIRST_PLACE 0x10000UL
#define PLACE_LIMIT 0x100000000UL /* start structures hold 32-bit addresses */

void layout_init(struct guest_layout *l, u64 ram)
{
	struct guest_map_entry map[GUEST_MAP_ENTRIES];
	u32 nr = guest_memory_map(ram, map);

	l->ram = ram;
	l->limit = 0;
	rangeset_init(&l->free, "guest memory layout", l->storage, ARRAY_SIZE(l->storage));
	for (u32 i = 0; i < nr; i++)
		if (map[i].type == GUEST_MAP_USABLE)
			(void)!rangeset_add(&l->free, map[i].base, map[i].base + map[i].len - 1);
}

static bool is_usable(u64 ram, gpaddr_t gpa, u64 len)
{
	struct guest_map_entry map[GUEST_MAP_ENTRIES];
	u32 nr = guest_memory_map(ram, map);

	for (u32 i = 0; i < nr; i++)
		if (map[i].type == GUEST_MAP_USABLE && gpa >= map[i].base &&
		    gpa - map[i].base <= map[i].len && len <= map[i].len - (gpa - map[i].base))
			return true;
	return false;
}

int layout_claim(struct guest_layout *l, gpaddr_t gpa, u64 len)
{
	if (!is_usable(l->ram, gpa, len))
		return -ERANGE;
	/* If the storage is full, free memory gets lost, but no claim does. */
	if (len)
		(void)rangeset_remove(&l->free, gpa, gpa + len - 1);
	return 0;
}

/* The whole pages of a free range that may be used; false if there are none. */
static bool whole_pages_of(const struct range *r, gpaddr_t *first, gpaddr_t *end)
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
		if (!whole_pages_of(r, &first, &end) || end - first < len)
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
		if (!whole_pages_of(&l->free.range[i], &first, &end) || end - first < len)
			continue;
		*gpa = end - len;
		occupy(l, end - len, len);
		return true;
	}
	return false;
}

void layout_limit(struct guest_layout *l, gpaddr_t last)
{
	l->limit = last + 1;
	(void)rangeset_remove(&l->free, last + 1, ~0UL);
}

u64 layout_largest(const struct guest_layout *l)
{
	u64 largest = 0;
	gpaddr_t first, end;

	rangeset_for_each(r, &l->free)
		if (whole_pages_of(r, &first, &end))
			largest = MAX(largest, end - first);
	return largest;
}
