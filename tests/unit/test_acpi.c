/* sources: drivers/acpi.c */
/* ACPI tables in a small "physical memory": valid ones are found, broken ones are ignored, nothing
 * outside is used. */
#include "test.h"

#include <drivers/acpi.h>
#include <kernel/mm/alloc.h>
#include <kernel/lib/errno.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>

#define LISTED (ACPI_MAX_CPUS + 4) /* CPUs of the largest machine */

static u8 memory[1 << 21];
static int warnings;

void log_print(enum log_level level, const char *fmt, ...)
{
	(void)fmt;
	if (level <= LOG_WARN)
		warnings++;
}

/* Unmapped memory reads as on a PC. */
void phys_read(paddr_t pa, void *buf, size_t len)
{
	u8 *out = buf;

	for (size_t i = 0; i < len; i++)
		out[i] = pa + i < sizeof(memory) ? memory[pa + i] : 0xff;
}

void *kzalloc(size_t size)
{
	return calloc(1, size);
}

void kfree(void *p)
{
	free(p);
}

static void fix_sum(u8 *p, size_t len, u8 *sum)
{
	u8 total = 0;

	*sum = 0;
	for (size_t i = 0; i < len; i++)
		total = (u8)(total + p[i]);
	*sum = (u8)-total;
}

static struct acpi_header *table(paddr_t pa, const char *signature, const void *body, size_t size)
{
	struct acpi_header *h = (struct acpi_header *)(memory + pa);

	memset(h, 0, sizeof(*h));
	memcpy(h->signature, signature, 4);
	h->length = (u32)(sizeof(*h) + size);
	if (size)
		memcpy(h + 1, body, size);
	fix_sum((u8 *)h, h->length, &h->checksum);
	return h;
}

static u8 rsdp[36];

static void make_rsdp(u8 revision, u32 rsdt, u64 xsdt)
{
	u32 length = 36;

	memset(rsdp, 0, sizeof(rsdp));
	memcpy(rsdp, "RSD PTR ", 8);
	rsdp[15] = revision;
	memcpy(rsdp + 16, &rsdt, 4);
	memcpy(rsdp + 20, &length, 4);
	memcpy(rsdp + 24, &xsdt, 8);
	fix_sum(rsdp, 20, &rsdp[8]);
	fix_sum(rsdp, 36, &rsdp[32]);
}

static int setup(void **state)
{
	static const u32 rsdt[] = { 0x3000, 0x4000 };
	static const u64 xsdt[] = { 0x3000, 0x4000, 0x5000 };

	(void)state;
	memset(memory, 0, sizeof(memory));
	table(0x1000, "RSDT", rsdt, sizeof(rsdt));
	table(0x2000, "XSDT", xsdt, sizeof(xsdt));
	table(0x3000, "AAAA", "1", 1);
	table(0x4000, "BBBB", "22", 2);
	table(0x5000, "CCCC", "333", 3);
	warnings = 0;
	return 0;
}

static void test_roots(void **state)
{
	(void)state;
	make_rsdp(0, 0x1000, 0);
	assert_int_equal(acpi_init(rsdp, 20), 0);
	assert_non_null(acpi_find("BBBB"));
	assert_null(acpi_find("CCCC"));
	make_rsdp(2, 0x1000, 0x2000);
	assert_int_equal(acpi_init(rsdp, 36), 0);
	assert_int_equal(acpi_find("CCCC")->length, 39);
	assert_memory_equal(acpi_find("CCCC") + 1, "333", 3);
	assert_int_equal(warnings, 0);

	/* Falls back to the RSDT. */
	memory[0x2000 + 9]++;
	assert_int_equal(acpi_init(rsdp, 36), 0);
	assert_null(acpi_find("CCCC"));
	assert_non_null(acpi_find("AAAA"));
	assert_int_equal(warnings, 1);
	/* An extended RSDP with a wrong checksum, and one that the loader passed on
	 * incompletely. */
	rsdp[32]++;
	assert_int_equal(acpi_init(rsdp, 36), 0);
	assert_int_equal(acpi_init(rsdp, 30), 0);
	/* No tables. */
	rsdp[8]++;
	assert_int_equal(acpi_init(rsdp, 36), -ENODEV);
	assert_null(acpi_find("AAAA"));
	assert_int_equal(acpi_init(rsdp, 0), -ENODEV);
	make_rsdp(0, 0x3000, 0);
	assert_int_equal(acpi_init(rsdp, 20), -ENODEV);
}

/* As by kexec: no tag. It is looked for where a PC's BIOS leaves it. */
static void test_no_root_pointer(void **state)
{
	static const struct {
		paddr_t at;
		u16 ebda_segment;
		bool found;
	} where[] = {
		{ 0xe0000, 0, true },	   { 0xf5aa0, 0, true },      { 0xfffd0, 0, true },
		{ 0x9fc00, 0x9fc0, true }, { 0x9fc40, 0x9fc0, true }, { 0x9fc00, 0, false },
		{ 0xf5aa8, 0, false },	   { 0xdfff0, 0, false },     { 0x90000, 0xffff, false },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(where); i++) {
		setup(state);
		make_rsdp(2, 0x1000, 0x2000);
		memcpy(memory + where[i].at, rsdp, sizeof(rsdp));
		memcpy(memory + 0x40e, &where[i].ebda_segment, 2);
		assert_int_equal(acpi_init(rsdp, 0), where[i].found ? 0 : -ENODEV);
		assert_int_equal(acpi_find("CCCC") != NULL, where[i].found);
		assert_int_equal(warnings, !where[i].found);
	}
	/* One whose checksum is wrong is none. */
	setup(state);
	rsdp[8]++;
	memcpy(memory + 0xf0000, rsdp, sizeof(rsdp));
	assert_int_equal(acpi_init(rsdp, 0), -ENODEV);
}

static void test_broken_tables(void **state)
{
	struct acpi_header *b = (struct acpi_header *)(memory + 0x4000);

	(void)state;
	make_rsdp(2, 0x1000, 0x2000);
	b->checksum++;
	assert_int_equal(acpi_init(rsdp, 36), 0);
	assert_null(acpi_find("BBBB"));
	assert_non_null(acpi_find("CCCC"));
	assert_int_equal(warnings, 1);
	static const u32 lengths[] = { 0, 35, ACPI_MAX_TABLE + 1, 0xffffffff };

	for (u32 i = 0; i < ARRAY_SIZE(lengths); i++) {
		b->length = lengths[i];
		assert_int_equal(acpi_init(rsdp, 36), 0);
		assert_null(acpi_find("BBBB"));
		assert_int_equal(warnings, 2 + (int)i);
	}
}

static void test_madt(void **state)
{
	static const u8
		body[] = {
			0, 0,  0xe0, 0xfe, 1, 0, 0,    0, /* local APIC address, PCAT_COMPAT */
			0, 8,  0,    0,	   1, 0, 0,    0, /* CPU 0, enabled */
			0, 8,  1,    1,	   0, 0, 0,    0, /* CPU 1, disabled */
			0, 8,  2,    2,	   1, 0, 0,    0,    9, 16, 0, 0, 2, 0,	 0, 0,
			1, 0,  0,    0,	   2, 0, 0,    0, /* the same CPU again */
			9, 16, 0,    0,	   0, 1, 0,    0,    1, 0,  0, 0, 3, 0,	 0, 0, /* 0x100 */
			1, 12, 0,    0,	   0, 0, 0xc0, 0xfe, 0, 0,  0, 0, 2, 10, 0, 0,
			2, 0,  0,    0,	   0, 0, /* ignored */
			5, 12, 0,    0,	   0, 0, 0xe1, 0xfe, 0, 0,  0, 0,
		};
	static struct acpi_madt madt;

	(void)state;
	acpi_parse_madt(table(0x6000, "APIC", body, sizeof(body)), &madt);
	assert_int_equal(madt.nr_cpus, 3);
	assert_int_equal(madt.apic_id[1], 2);
	assert_int_equal(madt.apic_id[2], 0x100);
	assert_int_equal(madt.nr_ioapics, 1);
	assert_int_equal(madt.ioapic[0].address, 0xfec00000);
	assert_int_equal(madt.lapic_address, 0xfee10000);
	assert_true(madt.has_8259);
	assert_int_equal(warnings, 0);

	/* Truncated at every byte, at the end of an allocation: complete entries count, nothing
	 * behind them is read. */
	for (size_t size = 0; size < sizeof(body); size++) {
		struct acpi_header *t = table(0x6000, "APIC", body, size),
				   *copy = malloc(t->length);

		memcpy(copy, t, t->length);
		acpi_parse_madt(copy, &madt);
		assert_true(madt.nr_cpus <= 3);
		free(copy);
	}
	/* An entry of length 0 must not cause an endless loop. */
	static const u8 endless[] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };

	acpi_parse_madt(table(0x6000, "APIC", endless, sizeof(endless)), &madt);
	assert_int_equal(madt.nr_cpus, 0);
}

/* Entries of both kinds, for all processors and for one, before and after these. */
static void test_nmis(void **state)
{
	static const u8 body[] = {
		0,  0,	0xe0, 0xfe, 0,	  0,	0,    0, /* local APIC address */
		4,  6,	0xff, 5,    0,	  1, /* LINT1 of all */
		0,  8,	7,    2,    1,	  0,	0,    0, /* processor 7 has APIC id 2 */
		4,  6,	7,    3,    0,	  0, /* its LINT0, active low */
		10, 12, 0,    0,    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 10, 12, 3,
		0,  0,	1,    0,    0,	  1,	0,    0,    0, 4, 6, 7, 3,  0, /* cut off */
	};
	static const struct acpi_nmi expected[] = {
		{ 0xff, true, 1, false },
		{ 7, false, 0, true },
		{ ~0u, true, 0, false },
		{ 0x100, false, 1, true },
	};
	static struct acpi_madt madt;

	(void)state;
	acpi_parse_madt(table(0x6000, "APIC", body, sizeof(body)), &madt);
	assert_int_equal(madt.nr_cpus, 1);
	assert_int_equal(madt.processor_uid[0], 7);
	assert_int_equal(madt.nr_nmis, ARRAY_SIZE(expected));
	for (u32 i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(madt.nmi[i].processor_uid, expected[i].processor_uid);
		assert_int_equal(madt.nmi[i].all, expected[i].all);
		assert_int_equal(madt.nmi[i].pin, expected[i].pin);
		assert_int_equal(madt.nmi[i].active_low, expected[i].active_low);
	}
}

static void test_hpet(void **state)
{
	u8 body[20] = { [8] = 0, 0, 0xd0, 0xfe, [16] = 1 };

	(void)state;
	assert_int_equal(acpi_hpet_address(table(0x6000, "HPET", body, sizeof(body))), 0xfed00000);
	assert_int_equal(acpi_hpet_address(table(0x6000, "HPET", body, 15)), 0);
	body[4] = 1; /* ports */
	assert_int_equal(acpi_hpet_address(table(0x6000, "HPET", body, sizeof(body))), 0);
	body[4] = 0;
	body[8] = 8; /* not on a boundary */
	assert_int_equal(acpi_hpet_address(table(0x6000, "HPET", body, sizeof(body))), 0);
}

/* A hundred and fifty SSDTs before the DMAR, as on servers; then more than there is room for. Each
 * limit is named once, however much is beyond it. */
static void test_large_machine(void **state)
{
	static u64 xsdt[300];
	static u8 body[8 + LISTED * 16];
	static struct acpi_madt madt;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(xsdt); i++) {
		xsdt[i] = 0x10000 + 64 * i;
		table(xsdt[i], i == 150 ? "DMAR" : i == 299 ? "LAST" : "SSDT", "1", 1);
	}
	table(0x8000, "XSDT", xsdt, 200 * 8);
	make_rsdp(2, 0, 0x8000);
	assert_int_equal(acpi_init(rsdp, 36), 0);
	assert_non_null(acpi_find("DMAR"));
	assert_int_equal(warnings, 0);
	table(0x8000, "XSDT", xsdt, sizeof(xsdt));
	assert_int_equal(acpi_init(rsdp, 36), 0);
	assert_null(acpi_find("LAST"));
	assert_int_equal(warnings, 1);

	for (u32 i = 0; i < LISTED; i++)
		memcpy(body + 8 + 16 * i, (u8[16]){ 9, 16, 0, 0, (u8)i, (u8)(i >> 8), 0, 0, 1 },
		       16);
	acpi_parse_madt(table(0x20000, "APIC", body, 8 + LISTED * 16), &madt);
	assert_int_equal(madt.nr_cpus, ACPI_MAX_CPUS);
	assert_int_equal(madt.lost_cpus, LISTED - ACPI_MAX_CPUS);
	assert_int_equal(warnings, 2);
	for (u32 i = 0; i < 70; i++)
		memcpy(body + 8 + 12 * i, (u8[12]){ 1, 12 }, 12);
	acpi_parse_madt(table(0x6000, "APIC", body, 8 + 70 * 12), &madt);
	assert_int_equal(madt.nr_ioapics, ACPI_MAX_IOAPICS);
	assert_int_equal(madt.lost_ioapics, 70 - ACPI_MAX_IOAPICS);
	assert_int_equal(warnings, 3);
}

static void test_mcfg(void **state)
{
	u8 body[8 + 3 * 16] = { 0 };
	struct acpi_ecam ecam[2];
	u64 good = 0xb0000000, odd = 0xb0000001;

	(void)state;
	memcpy(body + 8, &good, 8);
	body[8 + 11] = 0xff;
	memcpy(body + 24, &odd, 8);
	memcpy(body + 40, &good, 8);
	body[40 + 10] = 5; /* the first bus is greater than the last */
	assert_int_equal(acpi_parse_mcfg(table(0x6000, "MCFG", body, sizeof(body)), ecam, 2), 1);
	assert_int_equal(ecam[0].address, good);
	assert_int_equal(ecam[0].last_bus, 0xff);
	assert_int_equal(warnings, 2);
	assert_int_equal(acpi_parse_mcfg(table(0x6000, "MCFG", body, 3), ecam, 2), 0);
	assert_int_equal(acpi_parse_mcfg(table(0x6000, "MCFG", body, 24), ecam, 0), 1);
}

static void test_fadt(void **state)
{
	u8 body[200] = { 0 };
	unsigned int bits;

	(void)state;
	body[76 - 36] = 0x08;
	body[77 - 36] = 0x06;
	body[91 - 36] = 4;
	assert_int_equal(acpi_pm_timer_port(table(0x6000, "FACP", body, sizeof(body)), &bits),
			 0x608);
	assert_int_equal(bits, 24);
	body[113 - 36] = 1;
	assert_int_equal(acpi_pm_timer_port(table(0x6000, "FACP", body, sizeof(body)), &bits),
			 0x608);
	assert_int_equal(bits, 32);
	assert_int_equal(acpi_pm_timer_port(table(0x6000, "FACP", body, 70), &bits), 0);
	body[91 - 36] = 0;
	assert_int_equal(acpi_pm_timer_port(table(0x6000, "FACP", body, sizeof(body)), &bits), 0);
}

/* Random damage anywhere in the tables: found or not, but never a read outside a copy. */
static void test_random(void **state)
{
	static struct acpi_madt madt;
	struct acpi_ecam ecam[4];
	unsigned int bits;

	for (int n = 0; n < 3000; n++) {
		setup(state);
		make_rsdp(2, 0x1000, 0x2000);
		for (int i = rand() % 4; i > 0; i--) {
			paddr_t pa = 0x1000UL * (1 + (u64)rand() % 5);
			struct acpi_header *h = (struct acpi_header *)(memory + pa);

			((u8 *)h)[rand() % 60] = (u8)rand();
			/* Often with a correct checksum, so that the table is parsed. */
			if (h->length >= sizeof(*h) && h->length < 4096)
				fix_sum((u8 *)h, h->length, &h->checksum);
		}
		(void)!acpi_init(rsdp, 36);
		for (int i = 0; i < 3; i++) {
			const struct acpi_header *t = acpi_find(&"AAAABBBBCCCC"[4 * i]);

			if (!t)
				continue;
			acpi_parse_madt(t, &madt);
			acpi_parse_mcfg(t, ecam, 4);
			acpi_pm_timer_port(t, &bits);
		}
	}
	memset(rsdp, 0, sizeof(rsdp));
	assert_int_equal(acpi_init(rsdp, 36), -ENODEV); /* frees the tables of the last round */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_roots, setup),
		cmocka_unit_test_setup(test_broken_tables, setup),
		cmocka_unit_test_setup(test_no_root_pointer, setup),
		cmocka_unit_test_setup(test_madt, setup),
		cmocka_unit_test_setup(test_nmis, setup),
		cmocka_unit_test_setup(test_hpet, setup),
		cmocka_unit_test_setup(test_large_machine, setup),
		cmocka_unit_test_setup(test_mcfg, setup),
		cmocka_unit_test_setup(test_fadt, setup),
		cmocka_unit_test_setup(test_random, setup),
	};

	srand(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
