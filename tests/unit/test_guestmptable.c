/* sources: kernel/guest/devices/guestmptable.c kernel/guest/devices/guestacpi.c */
/* A guest's MP table: found as kernels find it, by the specification's offsets, and compared with
 * the MADT. */
#include "test.h"

#include <kernel/guest/devices/guestacpi.h>
#include <kernel/guest/devices/guestmptable.h>

#define MAX_VCPUS 16

static u8 mp[GUEST_MP_TABLE_MAX], acpi[GUEST_ACPI_MAX];
static size_t size, acpi_size;
static const struct cpuid features = { 0x12345f62, 0, 0, 0xffffffff };

static u32 number(const u8 *at, u32 bytes)
{
	u32 value = 0;

	memcpy(&value, at, bytes);
	return value;
}

static void make(u32 nr_vcpus)
{
	memset(mp, 0xcc, sizeof(mp));
	size = guestmptable_make(mp, nr_vcpus, features);
	assert_in_range(size, 60, sizeof(mp));
	acpi_size = guestacpi_make(acpi, nr_vcpus, true, (struct vwindow){ 1UL << 32, 1UL << 38 });
}

static u8 sum(const u8 *from, size_t len)
{
	u8 s = 0;

	while (len--)
		s = (u8)(s + *from++);
	return s;
}

/* 4.1: on a 16-byte boundary from 0xf0000 to 0xfffff. */
static const u8 *find_table(void)
{
	assert_int_equal(GUEST_MP_TABLE % 16, 0);
	assert_in_range(GUEST_MP_TABLE, 0xf0000, 0xfffff - sizeof(mp));
	assert_memory_equal(mp, "_MP_", 4);
	assert_int_equal(mp[8], 1);
	assert_int_equal(mp[9], 4);
	assert_int_equal(sum(mp, 16), 0);
	assert_int_equal(mp[11], 0); /* there is a table */
	assert_int_equal(mp[12], 0); /* virtual wire mode */
	return mp + (number(mp + 4, 4) - GUEST_MP_TABLE);
}

/* The next entry of this type after `at`, or the first one; NULL: there is none. */
static const u8 *next(const u8 *at, u8 type)
{
	const u8 *table = find_table(), *p = table + 44;

	for (; p < table + number(table + 4, 2); p += *p ? 8 : 20)
		if (*p == type && (!at || p > at))
			return p;
	return NULL;
}

static void test_the_table(void **state)
{
	(void)state;
	for (u32 nr = 1; nr <= MAX_VCPUS; nr++) {
		const u8 *table, *p;
		u32 entries = 0;

		make(nr);
		table = find_table();
		assert_memory_equal(table, "PCMP", 4);
		assert_ptr_equal(table + number(table + 4, 2), mp + size);
		assert_int_equal(table[6], 4);
		assert_int_equal(sum(table, number(table + 4, 2)), 0);
		assert_int_equal(number(table + 36, 4), 0xfee00000);
		for (p = table + 44; p < mp + size; p += *p ? 8 : 20)
			entries++;
		assert_ptr_equal(p, mp + size);
		assert_int_equal(number(table + 34, 2), entries);
		assert_int_equal(entries, nr + 1 + 1 + 16 + 2);
	}
}

static const u8 *madt_of(u8 type)
{
	const u8 *madt = NULL;

	for (size_t i = 0; i + 4 < acpi_size; i += 4)
		if (!memcmp(acpi + i, "APIC", 4))
			madt = acpi + i;
	assert_non_null(madt);
	for (const u8 *p = madt + 44; p < madt + number(madt + 4, 4); p += p[1])
		if (p[0] == type)
			return p;
	fail_msg("the MADT has no entry of type %u", type);
	return NULL;
}

static void test_processors(void **state)
{
	(void)state;
	for (u32 nr = 1; nr <= MAX_VCPUS; nr++) {
		const u8 *p = NULL, *local;

		make(nr);
		local = madt_of(0);
		for (u32 i = 0; i < nr; i++, local += local[1]) {
			p = next(p, 0);
			assert_non_null(p);
			assert_int_equal(local[0], 0);
			assert_int_equal(p[1], local[3]);
			assert_int_equal(p[2] & 0xf0, 0x10); /* integrated */
			assert_int_equal(p[3], i ? 1 : 3);
			assert_int_equal(number(p + 4, 4), 0xf62);
			assert_int_equal(number(p + 8, 4), 0x381);
		}
		assert_null(next(p, 0));
	}
}

static void test_io_apic(void **state)
{
	const u8 *p, *madt;

	(void)state;
	make(2);
	p = next(NULL, 2);
	madt = madt_of(1);
	assert_int_equal(p[1], madt[2]);
	assert_int_equal(p[2], 0x20);
	assert_int_equal(p[3], 1);
	assert_int_equal(number(p + 4, 4), number(madt + 4, 4));
	assert_null(next(p, 2));
	p = next(NULL, 1);
	assert_memory_equal(p + 2, "ISA   ", 6);
	assert_null(next(p, 1));
}

static void test_interrupts(void **state)
{
	u32 pins = 0, irqs = 0;
	const u8 *p = NULL, *madt;

	(void)state;
	make(2);
	madt = madt_of(2);
	while ((p = next(p, 3))) {
		assert_int_equal(number(p + 2, 2), 0);
		assert_int_equal(p[4], next(NULL, 1)[1]);
		assert_int_equal(p[6], next(NULL, 2)[1]);
		assert_false(pins & 1u << p[7]);
		pins |= 1u << p[7];
		if (p[1] == 3) {
			assert_int_equal(p[7], 0);
			continue;
		}
		assert_int_equal(p[1], 0);
		assert_false(irqs & 1u << p[5]);
		irqs |= 1u << p[5];
		assert_int_equal(p[7], p[5] == madt[3] ? number(madt + 4, 4) : p[5]);
	}
	assert_int_equal(pins, 0xffff);
	assert_int_equal(irqs, 0xfffb);
}

static void test_local_interrupts(void **state)
{
	const u8 *p, *madt;

	(void)state;
	make(2);
	madt = madt_of(4);
	p = next(NULL, 4);
	assert_int_equal(p[1], 3);
	assert_int_equal(p[6], 0);
	assert_int_equal(p[7], 0);
	p = next(p, 4);
	assert_int_equal(p[1], 1);
	assert_int_equal(p[6], 0xff);
	assert_int_equal(p[6], madt[2]);
	assert_int_equal(p[7], madt[5]);
	assert_null(next(p, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_table),	 cmocka_unit_test(test_processors),
		cmocka_unit_test(test_io_apic),		 cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_local_interrupts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
