/* sources: kernel/guest/devices/guestbios.c */
/* The BIOS data area, read at the offsets that kernels use. */
#include "test.h"

#include <kernel/guest/devices/guestbios.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestcopy.h>

static u8 ram[1 << 20];
static u64 refuse_from = ~0UL;

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	(void)m;
	if (gpa >= refuse_from)
		return -14;
	assert_true(gpa + len <= sizeof(ram));
	memcpy(ram + gpa, buf, len);
	return 0;
}

u64 clock_ns(void)
{
	return 5;
}

u64 clock_wall_ns(u64 ns)
{
	return (1000 * 86400UL + 43200) * 1000000000UL + ns; /* noon */
}

static u32 get(u32 at, u32 size)
{
	u32 v = 0;

	memcpy(&v, ram + at, size);
	return v;
}

static void test_area(void **state)
{
	static const struct {
		u32 at, size, value;
	} want[] = {
		{ 0x400, 2, 0x3f8 },  { 0x402, 2, 0 },	   { 0x408, 2, 0 },
		{ 0x40e, 2, 0x9fc0 }, { 0x410, 2, 0x222 }, { 0x413, 2, 639 },
		{ 0x417, 2, 0 },      { 0x41a, 2, 0x1e },  { 0x41c, 2, 0x1e },
		{ 0x449, 1, 3 },      { 0x44a, 2, 80 },	   { 0x44c, 2, 0x1000 },
		{ 0x44e, 2, 0 },      { 0x450, 2, 0 },	   { 0x460, 2, 0x607 },
		{ 0x462, 1, 0 },      { 0x463, 2, 0x3d4 }, { 0x46c, 4, 0xc0058 },
		{ 0x470, 1, 0 },      { 0x472, 2, 0 },	   { 0x475, 1, 0 },
		{ 0x480, 2, 0x1e },   { 0x482, 2, 0x3e },  { 0x484, 1, 24 },
		{ 0x485, 2, 16 },     { 0x9fc00, 1, 1 },
	};
	static struct domain d;

	(void)state;
	memset(ram, 0, sizeof(ram));
	assert_int_equal(guestbios_write(&d), 0);
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		if (get(want[i].at, want[i].size) != want[i].value)
			fail_msg("%x: %x, not %x", want[i].at, get(want[i].at, want[i].size),
				 want[i].value);
	/* Nothing else is touched. */
	for (u32 i = 0; i < sizeof(ram); i++)
		assert_true(!ram[i] || (i >= 0x400 && i < 0x500) || i == 0x9fc00);
}

static void test_no_memory(void **state)
{
	static struct domain d;

	(void)state;
	refuse_from = 0x9fc00;
	assert_int_equal(guestbios_write(&d), -14);
	refuse_from = 0;
	assert_int_equal(guestbios_write(&d), -14);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_area),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
