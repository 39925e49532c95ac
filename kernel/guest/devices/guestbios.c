/* What a PC's BIOS leaves in memory (IBM, Personal System/2 and Personal Computer BIOS Interface
 * Technical Reference, section 3; offsets are from 0x400). Kernels without ACPI, or from before
 * they read its tables, take the end of base memory from here, put the code that starts their
 * other CPUs below it, and look for the screen's ports.
 */
#include <kernel/guest/devices/guestbios.h>

#include <kernel/core/clock.h>
#include <kernel/core/log.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/string.h>

struct bios_data {
	u16 com[4], lpt[3]; /* their ports */
	u16 ebda_segment;
	u16 equipment;
	u8 tests;
	u16 base_memory; /* KiB */
	u8 reserved_15[2];
	u8 keyboard_flags[2], keypad;
	u16 keyboard_head, keyboard_tail; /* offsets, as the two below */
	u8 keyboard_ring[32];
	u8 diskettes[11];
	u8 video_mode;
	u16 columns, page_bytes, page_start;
	u16 cursor[8], cursor_shape;
	u8 page;
	u16 crtc_port;
	u8 crt_mode, crt_palette;
	u8 reserved_67[5];
	u32 ticks; /* since midnight */
	u8 midnight, break_key;
	u16 reset_flag; /* 0x1234: the memory test is left out */
	u8 disks[4]; /* the second byte is their number */
	u8 lpt_timeout[4], com_timeout[4];
	u16 keyboard_first, keyboard_end;
	u8 last_row;
	u16 character_height;
	u8 reserved_87[0x100 - 0x87];
} __packed;
_Static_assert(sizeof(struct bios_data) == GUEST_BIOS_DATA_SIZE, "");
_Static_assert(offsetof(struct bios_data, base_memory) == 0x13, "");
_Static_assert(offsetof(struct bios_data, video_mode) == 0x49, "");
_Static_assert(offsetof(struct bios_data, crtc_port) == 0x63, "");
_Static_assert(offsetof(struct bios_data, ticks) == 0x6c, "");
_Static_assert(offsetof(struct bios_data, keyboard_first) == 0x80, "");

#define COM1 0x3f8
/* The equipment word, as INT 11H returns it. */
#define HAS_FPU BIT(1)
#define SCREEN_80_COLOUR BIT(5)
#define ONE_COM_PORT BIT(9)

#define MODE_80X25 3
#define CURSOR_SHAPE 0x0607 /* its first and last line in a character of 8 */
#define CRTC_PORT 0x3d4

#define SECONDS_A_DAY 86400UL
#define TICKS_A_DAY 0x1800b0UL

void guestbios_make(u8 area[GUEST_BIOS_DATA_SIZE], u64 unix_s)
{
	const u16 ring = offsetof(struct bios_data, keyboard_ring);
	const struct bios_data b = {
		.com = { COM1 },
		.ebda_segment = GUEST_LOW_END >> 4,
		.equipment = HAS_FPU | SCREEN_80_COLOUR | ONE_COM_PORT,
		.base_memory = GUEST_LOW_END >> 10,
		.keyboard_head = ring,
		.keyboard_tail = ring,
		.keyboard_first = ring,
		.keyboard_end = ring + sizeof(b.keyboard_ring),
		.video_mode = MODE_80X25,
		.columns = 80,
		.page_bytes = 0x1000,
		.cursor_shape = CURSOR_SHAPE,
		.crtc_port = CRTC_PORT,
		.ticks = (u32)(unix_s % SECONDS_A_DAY * TICKS_A_DAY / SECONDS_A_DAY),
		.com_timeout = { 1 },
		.last_row = 24,
		.character_height = 16,
	};

	memcpy(area, &b, GUEST_BIOS_DATA_SIZE);
}

int guestbios_write(struct domain *d)
{
	/* The extended area begins with its size in KiB, and has nothing else. */
	const u8 extended_kib = (GUEST_VIDEO_START - GUEST_LOW_END) >> 10;
	u8 area[GUEST_BIOS_DATA_SIZE];
	int ret;

	guestbios_make(area, clock_wall_ns(clock_ns()) / 1000000000UL);
	ret = guest_write(&d->vm.memory, GUEST_BIOS_DATA, area, sizeof(area));
	if (!ret)
		ret = guest_write(&d->vm.memory, GUEST_LOW_END, &extended_kib, 1);
	if (ret)
		log_err("domain %s: its BIOS data area cannot be written: error %d", d->name, ret);
	return ret;
}
