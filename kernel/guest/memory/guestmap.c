/* A guest's memory map: what a PC without legacy hardware has, and the hole below 4 GiB. */
#include <kernel/guest/memory/guestmap.h>

u32 guest_memory_map(u64 ram, struct guest_map_entry map[GUEST_MAP_ENTRIES])
{
	u64 low = MIN(ram, GUEST_HOLE_START);
	u32 n = 0;

	map[n++] = (struct guest_map_entry){ 0, MIN(low, GUEST_LOW_END), GUEST_MAP_USABLE };
	if (low > GUEST_LOW_END)
		map[n++] = (struct guest_map_entry){ GUEST_LOW_END,
						     GUEST_HIGH_START - GUEST_LOW_END,
						     GUEST_MAP_RESERVED };
	if (low > GUEST_HIGH_START)
		map[n++] = (struct guest_map_entry){ GUEST_HIGH_START, low - GUEST_HIGH_START,
						     GUEST_MAP_USABLE };
	if (ram > low)
		map[n++] = (struct guest_map_entry){ GUEST_HOLE_END, ram - low, GUEST_MAP_USABLE };
	return n;
}
