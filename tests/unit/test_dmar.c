/* The firmware's DMAR table: valid ones, each kind of invalid one, and every truncation and
 * corruption of a valid one.
 * sources: iommu/dmar.c
 */
#include <tests/unit/dmar_check.h>

#include <kernel/core/log.h>
#include <kernel/lib/errno.h>

static u8 table[16384];
static size_t size;
static struct dmar dmar;
static u32 limits_named; /* lines of the log that name a limit */

void log_print(enum log_level level, const char *fmt, ...)
{
	limits_named += level == LOG_WARN && strstr(fmt, "a Weir built with a larger") != NULL;
}

static void put(u64 v, unsigned int n)
{
	assert_true(size + n <= sizeof(table));
	memcpy(table + size, &v, n);
	size += n;
}

static void begin(void)
{
	memset(table, 0, sizeof(table));
	size = 36;
	put(38, 1); /* 39 bits */
	put(1, 1);
	size = 48;
}

static size_t structure(u16 type)
{
	put(type, 2);
	put(0, 2);
	return size - 4;
}

static void end(size_t at)
{
	u16 length = (u16)(size - at);

	memcpy(table + at + 2, &length, 2);
}

static size_t drhd(u8 flags, u64 base)
{
	size_t at = structure(0);

	put(flags, 1);
	put(0, 1);
	put(0, 2);
	put(base, 8);
	end(at);
	return at;
}

static void scope(size_t at, u8 type, u8 bus, const u8 *path, u8 hops)
{
	put(type, 1);
	put(6 + 2u * hops, 1);
	put(0, 3);
	put(bus, 1);
	for (u8 i = 0; i < 2 * hops; i++)
		put(path[i], 1);
	end(at);
}

static size_t rmrr(u64 first, u64 last)
{
	size_t at = structure(1);

	put(0, 4);
	put(first, 8);
	put(last, 8);
	end(at);
	return at;
}

static int parse(void)
{
	/* In memory of exactly its size, so that a read beyond it is detected. */
	u8 *copy = malloc(size);
	int ret;

	memcpy(copy, table, size);
	limits_named = 0;
	ret = dmar_parse(copy, size, bridge, &dmar);
	free(copy);
	return ret;
}

static int unit_of(u8 bus, u8 dev, u8 fn)
{
	return dmar_unit_of(&dmar, (struct pci_id){ 0, PCI_BDF(bus, dev, fn) });
}

static void make_good(void)
{
	static const u8 nic[] = { 3, 0 }, port[] = { 0x1c, 0 }, behind[] = { 0x1c, 0, 0, 0, 7, 1 };
	size_t at;

	begin();
	at = drhd(0, 0xfed90000);
	scope(at, 1, 0, nic, 1);
	scope(at, 3, 0xff, nic, 1); /* an I/O APIC is not a PCI device */
	at = drhd(0, 0xfed91000);
	scope(at, 2, 0, port, 1);
	at = rmrr(0x7f000000, 0x7f0fffff);
	scope(at, 1, 0, behind, 3);
	at = structure(2); /* ATSR */
	put(1, 4);
	end(at);
	at = structure(77); /* an unknown, newer type */
	put(0, 8);
	put(0, 4);
	end(at);
	drhd(1, 0xfed92000);
}

/* Bit 1 counts with bit 0 only (8.1). */
static void what_the_flags_say(void **state)
{
	(void)state;
	assert_false(iommu_x2apic_opt_out(NULL, 0));
	for (u8 flags = 0; flags < 8; flags++) {
		make_good();
		table[37] = flags;
		assert_int_equal(parse(), 0);
		assert_int_equal(dmar.intr_remap, flags & 1);
		assert_int_equal(dmar.dma_opt_in, flags >> 2);
		assert_int_equal(iommu_x2apic_opt_out(table, size), (flags & 3) == 3);
		assert_false(iommu_x2apic_opt_out(table, 47));
	}
}

static void good(void **state)
{
	const struct dmar_reserved *r;

	(void)state;
	make_good();
	assert_int_equal(parse(), 0);
	assert_int_equal(dmar.nr_units, 3);
	assert_int_equal(dmar.address_width, 39);
	assert_true(dmar.intr_remap);
	assert_int_equal(unit_of(0, 3, 0), 0);
	assert_int_equal(unit_of(0, 3, 1), 2);
	assert_int_equal(unit_of(0, 0x1c, 0), 1);
	assert_int_equal(unit_of(2, 9, 0), 1);
	assert_int_equal(unit_of(5, 0, 7), 1);
	assert_int_equal(unit_of(6, 0, 0), 2);
	assert_int_equal(dmar_unit_of(&dmar, (struct pci_id){ 1, 0 }), -1);
	/* 00:1c.0 -> bus 2, 02:00.0 -> bus 3, there 07.1 */
	r = dmar_reserved_of(&dmar, (struct pci_id){ 0, PCI_BDF(3, 7, 1) });
	assert_non_null(r);
	assert_int_equal(r->first, 0x7f000000);
	assert_null(dmar_reserved_of(&dmar, (struct pci_id){ 0, PCI_BDF(3, 7, 0) }));
}

static void nothing_usable(void **state)
{
	(void)state;
	begin();
	assert_int_equal(parse(), -EINVAL);
	size = 40;
	assert_int_equal(parse(), -EINVAL);
	begin();
	drhd(1, 0); /* no registers */
	drhd(1, 0xfed90800); /* not at a page */
	assert_int_equal(parse(), -EINVAL);
}

static void the_same_unit_twice(void **state)
{
	(void)state;
	begin();
	drhd(0, 0xfed90000);
	drhd(1, 0xfed90000);
	assert_int_equal(parse(), 0);
	assert_int_equal(dmar.nr_units, 1);
}

static void too_many(void **state)
{
	static const u8 nic[] = { 3, 0 };
	size_t at;

	(void)state;
	begin();
	for (u64 i = 0; i < DMAR_MAX_UNITS + 2; i++) {
		at = drhd(i == DMAR_MAX_UNITS - 1, 0xfed00000 + i * 0x1000);
		if (i == DMAR_MAX_UNITS)
			scope(at, 1, 0, nic, 1);
	}
	assert_int_equal(parse(), 0);
	assert_int_equal(dmar.nr_units, DMAR_MAX_UNITS);
	assert_int_equal(dmar.lost_units, 2);
	assert_int_equal(limits_named, 1);
	/* Its unit is not used, but that does not make it a device of the catch-all unit. */
	assert_int_equal(unit_of(3, 0, 0), DMAR_MAX_UNITS - 1);
	assert_int_equal(unit_of(0, 3, 0), -1);

	/* If a device with reserved memory does not fit into the list, it could be assigned: it is
	 * safer to use no table at all. */
	begin();
	drhd(1, 0xfed90000);
	for (u64 i = 0; i < DMAR_MAX_RESERVED + 3; i++) {
		at = rmrr(0x1000, 0x1fff);
		scope(at, 1, 0, nic, 1);
	}
	assert_int_equal(parse(), -EINVAL);
	assert_int_equal(dmar.lost_reserved, 3);
	assert_int_equal(limits_named, 1);
}

/* As large as servers are: ten units, the one with all other devices last; and a controller whose
 * RMRRs name each of its functions. */
static void a_large_machine(void **state)
{
	size_t at;

	(void)state;
	begin();
	for (u8 i = 0; i < 10; i++) {
		at = drhd(i == 9, 0xfbffc000 - i * 0x2000u);
		for (u8 dev = 0; i < 9 && dev < 32; dev++)
			scope(at, 1, (u8)(16 * i), (const u8[]){ dev, 0 }, 1);
	}
	for (u8 i = 0; i < 16; i++) {
		at = rmrr(0xbddde000 + i * 0x1000u, 0xbdddefff + i * 0x1000u);
		for (u8 fn = 0; fn < 8; fn++)
			scope(at, 1, 0, (const u8[]){ 2, fn }, 1);
	}
	assert_int_equal(parse(), 0);
	assert_int_equal(dmar.nr_units, 10);
	assert_int_equal(dmar.nr_scopes, 288);
	assert_int_equal(dmar.nr_reserved, 128);
	assert_int_equal(unit_of(128, 31, 0), 8);
	assert_int_equal(unit_of(144, 0, 0), 9);
	assert_non_null(dmar_reserved_of(&dmar, (struct pci_id){ 0, PCI_BDF(0, 2, 7) }));
	assert_int_equal(limits_named, 0);
}

/* An I2C controller that only ACPI lists: its requests arrive as 00:15.1, at its own unit, and its
 * reserved memory counts. Its name is of no consequence. */
static void devices_of_the_acpi_namespace(void **state)
{
	static const u8 i2c[] = { 0x15, 1 };
	static const char *const names[] = { "\\_SB.PCI0.I2C1", "\x1b[2J", NULL };
	size_t at;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		begin();
		at = drhd(0, 0xfed90000);
		scope(at, 5, 0, i2c, 1);
		table[at + 16 + 4] = 1; /* ACPI device 1 */
		drhd(1, 0xfed91000);
		at = rmrr(0x7f000000, 0x7f0fffff);
		scope(at, 5, 0, i2c, 1);
		at = structure(4);
		put(0, 3);
		put(1, 1);
		for (const char *c = names[i]; c && *c; c++)
			put((u8)*c, 1);
		end(at);
		assert_int_equal(parse(), 0);
		assert_int_equal(unit_of(0, 0x15, 1), 0);
		assert_int_equal(unit_of(0, 0x15, 0), 1);
		assert_non_null(dmar_reserved_of(&dmar, (struct pci_id){ 0, PCI_BDF(0, 0x15, 1) }));
	}
}

/* The catch-all unit must not get devices of a unit that cannot be used: their DMA would pass a
 * unit that is not enabled. */
static void devices_of_a_unit_that_is_ignored(void **state)
{
	static const u8 nic[] = { 3, 0 };
	static const u64 bases[] = { 0, 0xfed90800, 1UL << 52, 0xfed92000 };
	size_t at;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
		begin();
		drhd(0, 0xfed92000);
		at = drhd(0, bases[i]);
		scope(at, 1, 0, nic, 1);
		drhd(1, 0xfed93000);
		assert_int_equal(parse(), 0);
		assert_int_equal(dmar.nr_units, 2);
		assert_int_equal(unit_of(0, 3, 0), -1);
		assert_int_equal(unit_of(0, 4, 0), 1);
	}
}

/* Nor may it get a device that was not recorded because the list was full or its structure was
 * broken. */
static void scopes_that_are_lost(void **state)
{
	static const u8 nic[] = { 3, 0 };
	size_t at = 0;

	(void)state;
	begin();
	drhd(1, 0xfed90000);
	for (u64 i = 0; i < DMAR_MAX_SCOPES + 69; i++) {
		if (i % 32 == 0)
			at = drhd(0, 0xfed91000 + i * 0x1000);
		scope(at, 1, 0, nic, 1);
	}
	assert_int_equal(parse(), -EINVAL);
	assert_int_equal(dmar.lost_scopes, 69);
	assert_int_equal(limits_named, 1);

	begin();
	drhd(1, 0xfed90000);
	at = drhd(0, 0xfed91000);
	scope(at, 1, 0, nic, 1);
	table[at + 17] = 5;
	assert_int_equal(parse(), -EINVAL);

	begin();
	drhd(1, 0xfed90000);
	at = drhd(0, 0xfed91000);
	table[at + 2]--; /* a DRHD of 15 bytes, and nothing valid after it */
	assert_int_equal(parse(), -EINVAL);
	begin();
	drhd(1, 0xfed90000);
	drhd(0, 0xfed91000);
	size -= 4;
	assert_int_equal(parse(), -EINVAL);
}

static void paths_that_lead_nowhere(void **state)
{
	static const u8 no_bridge[] = { 4, 0, 0, 0 }, nonsense[] = { 32, 8 };
	size_t at;

	(void)state;
	begin();
	at = drhd(0, 0xfed90000);
	scope(at, 1, 0, no_bridge, 2);
	scope(at, 1, 0, nonsense, 1);
	assert_int_equal(parse(), 0);
	assert_int_equal(dmar.nr_scopes, 0);
	assert_int_equal(unit_of(0, 0, 0), -1);
}

static void every_truncation(void **state)
{
	size_t whole;

	(void)state;
	make_good();
	whole = size;
	for (size = 0; size < whole; size++)
		if (!parse())
			assert_in_range(dmar.nr_units, 1, 3);
}

static void random_damage(void **state)
{
	unsigned int seed = getenv("SEED") ? (unsigned int)atoi(getenv("SEED")) : 20261121;

	(void)state;
	print_message("SEED=%u\n", seed);
	srand(seed);
	for (int i = 0; i < 50000; i++) {
		make_good();
		for (int n = 1 + rand() % 4; n; n--)
			table[36 + (size_t)rand() % (size - 36)] = (u8)rand();
		if (!parse())
			check_dmar(table, size, &dmar);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(what_the_flags_say),
		cmocka_unit_test(nothing_usable),
		cmocka_unit_test(the_same_unit_twice),
		cmocka_unit_test(too_many),
		cmocka_unit_test(a_large_machine),
		cmocka_unit_test(devices_of_the_acpi_namespace),
		cmocka_unit_test(devices_of_a_unit_that_is_ignored),
		cmocka_unit_test(scopes_that_are_lost),
		cmocka_unit_test(paths_that_lead_nowhere),
		cmocka_unit_test(every_truncation),
		cmocka_unit_test(random_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
