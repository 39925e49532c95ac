/* sources: kernel/guest/devices/legacy/vvga.c kernel/guest/devices/guestscreen.c */
/* The registers of a guest's text screen, and what of the screen is copied. */
#include "test.h"

#include <kernel/abi/control.h>
#include <kernel/guest/devices/guestscreen.h>
#include <kernel/guest/devices/legacy/legacy.h>
#include <kernel/guest/domain/domain.h>
#include <kernel/guest/memory/guestcopy.h>
#include <kernel/guest/memory/guestmap.h>
#include <kernel/lib/errno.h>

static struct bus_range ports;
static struct domain d, reader;
static struct legacy l = { .domain = &d };

int bus_add(struct bus *b, const struct bus_range *r)
{
	assert_ptr_equal(b, &d.vm.io);
	ports = *r;
	return 0;
}

static void out(u16 port, unsigned int size, u64 value)
{
	assert_int_equal(ports.write(ports.ctx, NULL, port - ports.first, size, value), 0);
}

static u64 in(u16 port, unsigned int size)
{
	u64 value = ~0UL >> (64 - 8 * size);

	assert_int_equal(ports.read(ports.ctx, NULL, port - ports.first, size, &value), 0);
	return value;
}

/* --- the guest's memory --------------------------------------------------- */

static u16 memory[GUEST_TEXT_SCREEN_SIZE / 2];
static u64 absent; /* the address of a page that is not there */
static struct weir_screen copy;
static size_t copied, writable;

int guest_read(struct memory *m, gpaddr_t gpa, void *buf, size_t len)
{
	assert_ptr_equal(m, &d.vm.memory);
	assert_in_range(gpa, GUEST_TEXT_SCREEN, GUEST_TEXT_SCREEN + sizeof(memory) - len);
	if (gpa <= absent && absent < gpa + len)
		return -EFAULT;
	memcpy(buf, (char *)memory + (gpa - GUEST_TEXT_SCREEN), len);
	return 0;
}

int guest_write(struct memory *m, gpaddr_t gpa, const void *buf, size_t len)
{
	assert_ptr_equal(m, &reader.vm.memory);
	assert_in_range(gpa + len, 0x1000, 0x1000 + sizeof(copy));
	if (gpa + len > 0x1000 + writable)
		return -EFAULT;
	memcpy((char *)&copy + (gpa - 0x1000), buf, len);
	copied = MAX(copied, gpa + len - 0x1000);
	return 0;
}

static int start(void **state)
{
	(void)state;
	spin_init(&l.lock, LOCK_LEGACY);
	d.legacy = &l;
	assert_int_equal(vvga_add_ports(&l), 0);
	assert_int_equal(ports.first, 0x3c0);
	assert_int_equal(ports.last, 0x3df);
	vvga_reset(&l);
	for (u32 i = 0; i < ARRAY_SIZE(memory); i++)
		memory[i] = (u16)(i * 3);
	memset(&copy, 0xcc, sizeof(copy));
	copied = absent = 0;
	writable = sizeof(copy);
	return 0;
}

/* --- registers ------------------------------------------------------------ */

static void test_mode_3(void **state)
{
	static const struct {
		u16 port;
		u8 index, value;
	} some[] = {
		{ 0x3c4, 0x02, 0x03 }, { 0x3c4, 0x04, 0x02 }, { 0x3ce, 0x06, 0x0e },
		{ 0x3ce, 0x08, 0xff }, { 0x3d4, 0x00, 0x5f }, { 0x3d4, 0x0a, 0x0d },
		{ 0x3d4, 0x13, 0x28 }, { 0x3d4, 0x18, 0xff }, { 0x3d4, 0x19, 0x00 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(some); i++) {
		out(some[i].port, 1, some[i].index);
		assert_int_equal(in(some[i].port, 1), some[i].index);
		assert_int_equal(in(some[i].port + 1, 1), some[i].value);
	}
	assert_int_equal(in(0x3cc, 1), 0x67);
	assert_int_equal(in(0x3c0, 1), 0x20);
}

static void test_pairs_keep_what_is_written(void **state)
{
	static const u16 pairs[] = { 0x3c4, 0x3ce, 0x3d4 };
	static const u8 nr[] = { 8, 16, 32 };

	(void)state;
	for (size_t p = 0; p < ARRAY_SIZE(pairs); p++) {
		for (u32 i = 0; i < nr[p]; i++)
			out(pairs[p], 2, (u64)(0x40 + p + i) << 8 | i | (256 - nr[p]));
		for (u32 i = 0; i < nr[p]; i++) {
			out(pairs[p], 1, i);
			assert_int_equal(in(pairs[p], 2), (0x40 + p + i) << 8 | i);
		}
	}
}

static void test_the_attribute_port_takes_turns(void **state)
{
	(void)state;
	(void)in(0x3da, 1);
	for (u32 i = 0; i < 32; i++) {
		out(0x3c0, 1, 0xc0 | i);
		assert_int_equal(in(0x3c0, 1), i);
		out(0x3c0, 1, 0x80 + i);
	}
	for (u32 i = 0; i < 32; i++) {
		(void)in(0x3da, 1);
		out(0x3c0, 1, 0x20 | i);
		assert_int_equal(in(0x3c0, 1), 0x20 | i);
		assert_int_equal(in(0x3c1, 1), 0x80 + i);
	}
	/* After a reset, too, an index comes first. */
	vvga_reset(&l);
	out(0x3c0, 1, 0x10);
	assert_int_equal(in(0x3c1, 1), 0x0c);
}

static void test_retraces(void **state)
{
	u64 first = in(0x3da, 1);

	(void)state;
	assert_int_equal(first & ~0x09UL, 0);
	assert_int_equal(in(0x3da, 1), first ^ 0x09);
	assert_int_equal(in(0x3da, 1), first);
}

static void test_other_ports(void **state)
{
	(void)state;
	out(0x3c2, 1, 0xe3);
	assert_int_equal(in(0x3cc, 1), 0xe3);
	out(0x3cc, 1, 0); /* another register, which is not there */
	assert_int_equal(in(0x3cc, 1), 0xe3);
	out(0x3c6, 4, 0);
	assert_int_equal(in(0x3c6, 4), 0xffffffff);
	assert_int_equal(in(0x3c2, 2), 0xffff);
	assert_int_equal(in(0x3dc, 4), 0xffffffff);
}

/* --- the screen ----------------------------------------------------------- */

static void expect_cells(u64 first)
{
	for (u32 i = 0; i < ARRAY_SIZE(copy.cell); i++)
		assert_int_equal(copy.cell[i], memory[(first + i) % ARRAY_SIZE(memory)]);
}

static void set(u8 index, u32 value)
{
	out(0x3d4, 2, (value & 0xff00) | index);
	out(0x3d4, 2, (value & 0xff) << 8 | (index + 1u));
}

static int read_screen(u64 size)
{
	return guestscreen_read(&d, &reader, 0x1000, size);
}

static void test_the_screen_is_copied(void **state)
{
	(void)state;
	set(0x0e, 81);
	assert_int_equal(read_screen(sizeof(copy)), 0);
	assert_int_equal(copied, sizeof(copy));
	assert_int_equal(copy.columns, 80);
	assert_int_equal(copy.rows, 25);
	assert_int_equal(copy.cursor, 81);
	assert_int_equal(copy.reserved, 0);
	expect_cells(0);
	/* A larger structure of a later version, and parts. */
	assert_int_equal(read_screen(PAGE_SIZE), 0);
	assert_int_equal(copied, sizeof(copy));
	for (u64 size = 0; size < sizeof(copy); size += 13) {
		copied = 0;
		assert_int_equal(read_screen(size), 0);
		assert_int_equal(copied, size);
	}
}

static void test_where_it_begins(void **state)
{
	(void)state;
	for (u32 first = 0; first < 0x10000; first += 1111) {
		set(0x0c, first);
		set(0x0e, first + 7);
		assert_int_equal(read_screen(sizeof(copy)), 0);
		expect_cells(first);
		assert_int_equal(copy.cursor, 7);
	}
	/* The cursor is outside of what is shown, or hidden. */
	set(0x0c, 160);
	set(0x0e, 159);
	assert_int_equal(read_screen(sizeof(copy)), 0);
	assert_int_equal(copy.cursor, WEIR_SCREEN_NO_CURSOR);
	set(0x0e, 160 + 1999);
	assert_int_equal(read_screen(sizeof(copy)), 0);
	assert_int_equal(copy.cursor, 1999);
	set(0x0e, 160 + 2000);
	assert_int_equal(read_screen(sizeof(copy)), 0);
	assert_int_equal(copy.cursor, WEIR_SCREEN_NO_CURSOR);
	set(0x0e, 160);
	out(0x3d4, 2, 0x200a);
	assert_int_equal(read_screen(sizeof(copy)), 0);
	assert_int_equal(copy.cursor, WEIR_SCREEN_NO_CURSOR);
}

static void test_without_registers_or_memory(void **state)
{
	(void)state;
	set(0x0c, 1000);
	d.legacy = NULL;
	assert_int_equal(read_screen(sizeof(copy)), 0);
	assert_int_equal(copy.cursor, WEIR_SCREEN_NO_CURSOR);
	expect_cells(0);
	writable = sizeof(copy) - 1;
	assert_int_equal(read_screen(sizeof(copy)), -EFAULT);
	writable = 7;
	assert_int_equal(read_screen(sizeof(copy)), -EFAULT);
	writable = sizeof(copy);
	absent = GUEST_TEXT_SCREEN + 3999;
	assert_int_equal(read_screen(sizeof(copy)), -ENODEV);
	absent++;
	assert_int_equal(read_screen(sizeof(copy)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_mode_3, start),
		cmocka_unit_test_setup(test_pairs_keep_what_is_written, start),
		cmocka_unit_test_setup(test_the_attribute_port_takes_turns, start),
		cmocka_unit_test_setup(test_retraces, start),
		cmocka_unit_test_setup(test_other_ports, start),
		cmocka_unit_test_setup(test_the_screen_is_copied, start),
		cmocka_unit_test_setup(test_where_it_begins, start),
		cmocka_unit_test_setup(test_without_registers_or_memory, start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
