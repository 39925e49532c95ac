/* Where a guest has RAM: its memory map. */
#pragma once

#include <kernel/lib/compiler.h>

/* Usable RAM below 1 MiB ends here, where a PC's extended BIOS data area begins. */
#define GUEST_LOW_END 0x9fc00UL
/* It ends where a PC has the memory of its screen. */
#define GUEST_VIDEO_START 0xa0000UL
/* Text screens are here on a PC; for a guest, it is memory like the rest of the reserved part. */
#define GUEST_TEXT_SCREEN 0xb8000UL
#define GUEST_TEXT_SCREEN_SIZE 0x8000UL
#define GUEST_HIGH_START 0x100000UL
/* There is no RAM from here up to 4 GiB, where the rest of it continues. */
#define GUEST_HOLE_START 0xc0000000UL
#define GUEST_HOLE_END 0x100000000UL

/* Types as in E820. */
enum guest_map_type { GUEST_MAP_USABLE = 1, GUEST_MAP_RESERVED = 2 };

#define GUEST_MAP_ENTRIES 4
struct guest_map_entry {
	gpaddr_t base;
	u64 len;
	enum guest_map_type type;
};
/* Fill in the map of a guest with `ram` bytes. Returns the number of entries. */
u32 guest_memory_map(u64 ram, struct guest_map_entry map[GUEST_MAP_ENTRIES]);
