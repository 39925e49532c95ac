/* What a PC's BIOS leaves in memory, where kernels look for it without asking anybody. */
#include <tests/guests/guest.h>

static u32 at(u64 address, u32 bytes)
{
	const volatile u8 *p = (const volatile u8 *)address;
	u32 value = 0;

	/* The compiler takes addresses in page 0 for null pointers. */
	__asm__("" : "+r"(p));
	for (u32 i = bytes; i--;)
		value = value << 8 | p[i];
	return value;
}

void test_firmware(void)
{
	if (!under_weir) {
		print("firmware: skipped\n");
		return;
	}
	CHECK_EQ("firmware: base memory ends where the memory map says", at(0x413, 2), 639);
	CHECK_EQ("firmware: the extended area begins there", at(0x40e, 2), 0x9fc00 >> 4);
	CHECK_EQ("firmware: and is 1 KiB", at((u64)at(0x40e, 2) << 4, 1), 1);
	CHECK_EQ("firmware: COM1 is where it is", at(0x400, 2), 0x3f8);
	CHECK_EQ("firmware: and the only one", at(0x402, 4), 0);
	CHECK_EQ("firmware: the equipment word", at(0x410, 2), 0x222);
	CHECK_EQ("firmware: a screen of 80 columns", at(0x449, 1) << 16 | at(0x44a, 2), 0x30050);
	CHECK_EQ("firmware: and the port of its controller", at(0x463, 2), 0x3d4);
	CHECK("firmware: less than a day since midnight", at(0x46c, 4) < 0x1800b0);
	CHECK_EQ("firmware: no warm start", at(0x472, 2), 0);
}
