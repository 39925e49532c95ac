/* ACPI tables, wherever their pointers lead: every table that is found has been verified, decoded
 * values are within their limits, and log messages are printable.
 *
 * An input is a byte of flags (1: all checksums are corrected, since broken firmware often has
 * correct ones), the length of the root pointer, 36 bytes of it, and the memory from TABLES on,
 * where QEMU also has its tables.
 *
 * sources: drivers/acpi.c
 */
#include <tests/fuzz/fuzz.h>

#include <drivers/acpi.h>
#include <kernel/mm/alloc.h>
#include <kernel/lib/errno.h>
#include <kernel/core/log.h>
#include <kernel/core/paging.h>

#define TABLES 0x7fe2000UL
#define RSDP_SIZE 36

static const u8 *memory;
static size_t memory_size;
static bool right_sums;
static long live;

void log_print(enum log_level level, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	(void)level;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (const char *p = text; *p; p++)
		assert_in_range(*p, ' ', '~');
}

static void make_sum_right(u8 *p, size_t len, u8 *sum)
{
	u8 total = 0;

	for (size_t i = 0; i < len; i++)
		total = (u8)(total + p[i]);
	*sum = (u8)(*sum - total);
}

/* Everywhere else memory is absent, and reads as on a PC. */
void phys_read(paddr_t pa, void *buf, size_t len)
{
	struct acpi_header *header = buf;

	memset(buf, 0xff, len);
	if (pa - TABLES < memory_size)
		memcpy(buf, memory + (pa - TABLES), MIN(len, memory_size - (pa - TABLES)));
	if (right_sums && len >= sizeof(*header) && len == header->length)
		make_sum_right(buf, len, &header->checksum);
}

void *kzalloc(size_t size)
{
	live++;
	return calloc(1, size);
}

void kfree(void *p)
{
	live -= !!p;
	free(p);
}

static void check_madt(const struct acpi_header *table)
{
	static struct acpi_madt madt;

	memset(&madt, 0x7f, sizeof(madt));
	acpi_parse_madt(table, &madt);
	assert_in_range(madt.nr_cpus, 0, ACPI_MAX_CPUS);
	assert_in_range(madt.nr_ioapics, 0, ACPI_MAX_IOAPICS);
	for (u32 i = 0; i < madt.nr_cpus; i++)
		for (u32 k = 0; k < i; k++)
			assert_int_not_equal(madt.apic_id[i], madt.apic_id[k]);
}

static void check_mcfg(const struct acpi_header *table)
{
	struct acpi_ecam ecam[4];
	u32 nr = acpi_parse_mcfg(table, ecam, ARRAY_SIZE(ecam));

	assert_true(nr <= table->length / 16);
	for (u32 i = 0; i < MIN(nr, (u32)ARRAY_SIZE(ecam)); i++) {
		assert_true(ecam[i].address && IS_ALIGNED(ecam[i].address, 1UL << 20));
		assert_true(ecam[i].first_bus <= ecam[i].last_bus);
	}
}

static void check_table(const char *signature)
{
	const struct acpi_header *t = acpi_find(signature);
	unsigned int bits = 0;
	u8 sum = 0;

	if (!t)
		return;
	assert_memory_equal(t->signature, signature, 4);
	assert_in_range(t->length, sizeof(*t), ACPI_MAX_TABLE);
	for (u32 i = 0; i < t->length; i++)
		sum = (u8)(sum + ((const u8 *)t)[i]);
	assert_int_equal(sum, 0);
	/* Each decoder gets any table, since a signature guarantees nothing about the content. */
	check_madt(t);
	check_mcfg(t);
	assert_in_range(acpi_pm_timer_port(t, &bits), 0, 0xfffc);
	assert_true(bits == 24 || bits == 32);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = { data, data + size };
	u8 flags = (u8)take(&in, 1), length = (u8)take(&in, 1), rsdp[RSDP_SIZE], *copy;

	for (u32 i = 0; i < RSDP_SIZE; i++)
		rsdp[i] = (u8)take(&in, 1);
	right_sums = flags & 1;
	if (right_sums) {
		make_sum_right(rsdp, 20, &rsdp[8]);
		make_sum_right(rsdp, RSDP_SIZE, &rsdp[32]);
	}
	memory = in.p;
	memory_size = (size_t)(in.end - in.p);
	length = MIN(length, RSDP_SIZE);
	copy = exact_copy(rsdp, length);
	if (!acpi_init(copy, length)) {
		static const char *const signatures[] = { "APIC", "MCFG", "FACP", "DMAR", "SSDT" };

		for (size_t i = 0; i < ARRAY_SIZE(signatures); i++)
			check_table(signatures[i]);
	}
	free(copy);
	/* Discards the tables. */
	assert_int_equal(acpi_init(NULL, 0), -ENODEV);
	assert_int_equal(live, 0);
	return 0;
}
