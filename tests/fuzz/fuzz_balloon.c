/* A guest uses its balloon: whatever is in its registers, its queues and its page lists, only the
 * guest's own pages are released or populated, no call is unbounded, and the device works again
 * after a reset.
 *
 * An input is operations of 12 bytes: operation, size, address, value.
 *
 * sources: $(BALLOON_SRCS)
 */
#include <tests/fuzz/fuzz.h>
#include <tests/unit/balloon_machine.h>

#define MAX_OPERATIONS 300
#define QUEUES_END 0x9000u /* the queues are likely to be below this */

static void set_up(u16 size)
{
	static const u32 places[] = { 0x1000, 0x2000, 0x3000 };

	config_write(0x04, 2);
	config_write(0x10, BAR);
	config_write(0x40 + 4 * 32, 1u << 31);
	bar_write(BAR + 0x14, 1, 0, 1);
	bar_write(BAR + 0x08, 4, 1, 1);
	bar_write(BAR + 0x0c, 4, 1, 1);
	bar_write(BAR + 0x14, 1, 11, 1);
	for (u32 q = 0; q < 2; q++) {
		bar_write(BAR + 0x16, 2, q, 1);
		bar_write(BAR + 0x18, 2, size, 1);
		for (u32 i = 0; i < 3; i++)
			bar_write(BAR + 0x20 + 8 * i, 8, places[i] + 0x3000 * q, 1);
		bar_write(BAR + 0x1c, 2, 1, 1);
	}
	bar_write(BAR + 0x14, 1, 15, 1);
}

static void operation(u8 what, u8 size_code, u16 where, u64 value)
{
	unsigned int size = 1u << size_code % 4;

	switch (what % 8) {
	case 0:
		vvirtiopci_write(dom.balloon, (u8)(where & 0xfc), (u32)value, (u32)(value >> 32));
		break;
	case 1:
		(void)config_read((u8)(where & 0xfc));
		break;
	case 2:
		bytes_copied = 0;
		bar_write(BAR + (where & 0xfff & ~(size - 1)), size, value, 4);
		assert_true(bytes_copied < 4 * 600);
		break;
	case 3:
		(void)bar_read(BAR + (where & 0xfff & ~(size - 1)), size);
		break;
	case 4:
		(void)copy(where % QUEUES_END, &value, size, true);
		break;
	case 5: /* writes a descriptor and makes it available */
		(void)copy(0x1000u + 0x3000 * (where & 1) + (where & 0xff0), &value, 8, true);
		(void)copy(0x2002u + 0x3000 * (where & 1), &size_code, 1, true);
		break;
	case 6:
		bar_write(BAR + 0x300 + 4 * (where & 1), 2, 0, 64);
		break;
	default:
		if (value & 1)
			set_up((u16)(1 << where % 9));
		else if (value & 2)
			(void)vballoon_ask(&dom, where);
		else if (value & 4)
			vballoon_power_on(&dom);
		move_says = value & 8 ? -EAGAIN : value & 16 ? -ENOMEM : 0;
	}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input program = { data, data + size };

	machine_start();
	set_up(4);
	for (int n = 0; n < MAX_OPERATIONS && !at_end(&program); n++) {
		u8 what = (u8)take(&program, 1), size_code = (u8)take(&program, 1);
		u16 where = (u16)take(&program, 2);

		operation(what, size_code, where, take(&program, 8));
		assert_true(dom.vm.mmio.nr <= 1);
	}
	set_up(128);
	assert_int_equal(bar_read(BAR + 0x14, 1), 15);
	machine_stop();
	return 0;
}
