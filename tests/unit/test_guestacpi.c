/* sources: kernel/guest/devices/guestacpi.c */
/* A guest's ACPI tables: found as software finds them, with correct checksums, disassembled and
 * compiled again by ACPICA's compiler. */
#include "test.h"

#include <kernel/guest/devices/guestacpi.h>

#define MAX_VCPUS 16

static u8 tables[GUEST_ACPI_MAX];
static size_t size;
static bool legacy;
static struct vwindow high = { 0x240000000, 0x4240000000 };

static u64 number(u64 gpa, unsigned int bytes)
{
	u64 value = 0;

	assert_in_range(gpa, GUEST_RSDP, GUEST_RSDP + size - bytes);
	memcpy(&value, tables + (gpa - GUEST_RSDP), bytes);
	return value;
}

static u8 sum(u64 gpa, u64 len)
{
	u8 s = 0;

	for (u64 i = 0; i < len; i++)
		s = (u8)(s + number(gpa + i, 1));
	return s;
}

/* 5.2.6: signature, length, checksum. Returns the length. */
static u64 check_table(u64 gpa, const char *signature)
{
	u64 len = number(gpa + 4, 4);

	assert_memory_equal(tables + (gpa - GUEST_RSDP), signature, 4);
	assert_in_range(len, 36, GUEST_RSDP + size - gpa);
	assert_int_equal(sum(gpa, len), 0);
	return len;
}

/* Looks the table up in the XSDT; 0 if there is none. */
static u64 find(const char *signature)
{
	u64 xsdt = number(GUEST_RSDP + 24, 8), end = xsdt + check_table(xsdt, "XSDT");

	for (u64 at = xsdt + 36; at < end; at += 8)
		if (!memcmp(tables + (number(at, 8) - GUEST_RSDP), signature, 4))
			return number(at, 8);
	return 0;
}

static void make(u32 nr_vcpus)
{
	memset(tables, 0xcc, sizeof(tables));
	size = guestacpi_make(tables, nr_vcpus, legacy, high);
	assert_in_range(size, 36, sizeof(tables));
}

static void test_rsdp(void **state)
{
	(void)state;
	make(1);
	/* 5.2.5.1: on 16-byte boundaries from 0xe0000 to 0xfffff. */
	assert_int_equal(GUEST_RSDP % 16, 0);
	assert_in_range(GUEST_RSDP, 0xe0000, 0xfffff);
	assert_memory_equal(tables, "RSD PTR ", 8);
	assert_int_equal(number(GUEST_RSDP + 15, 1), 2);
	assert_int_equal(sum(GUEST_RSDP, 20), 0);
	assert_int_equal(number(GUEST_RSDP + 20, 4), 36);
	assert_int_equal(sum(GUEST_RSDP, 36), 0);
}

static void check_port(u64 gpa, u16 port)
{
	assert_int_equal(number(gpa, 4), 0x01000801); /* system I/O, 8 bits, byte access */
	assert_int_equal(number(gpa + 4, 8), port);
}

static void test_fadt(void **state)
{
	u64 fadt;

	(void)state;
	make(1);
	fadt = find("FACP");
	assert_int_equal(check_table(fadt, "FACP"), 276);
	assert_int_equal(number(fadt + 40, 4), number(fadt + 140, 8));
	(void)check_table(number(fadt + 140, 8), "DSDT");
	assert_int_equal(number(fadt + 112, 4), 0x100431);
	check_port(fadt + 116, GUEST_RESET);
	assert_int_equal(number(fadt + 128, 1), GUEST_RESET_VALUE);
	check_port(fadt + 244, GUEST_SLEEP_CONTROL);
	check_port(fadt + 256, GUEST_SLEEP_STATUS);
}

static void test_madt_names_every_vcpu(void **state)
{
	(void)state;
	for (u32 nr = 1; nr <= MAX_VCPUS; nr++) {
		u64 madt, len;

		make(nr);
		madt = find("APIC");
		len = check_table(madt, "APIC");
		assert_int_equal(len, 44 + 8 * nr);
		assert_int_equal(number(madt + 40, 4), 0);
		for (u32 i = 0; i < nr; i++) {
			u64 at = madt + 44 + 8 * i;

			assert_int_equal(number(at, 2), 0x0800);
			assert_int_equal(number(at + 3, 1), i);
			assert_int_equal(number(at + 4, 4), 1);
		}
	}
}

/* With legacy=on: the flag, the I/O APIC, and where IRQ 0 is. */
static void test_madt_legacy(void **state)
{
	u64 madt, at;

	(void)state;
	legacy = true;
	make(2);
	madt = find("APIC");
	assert_int_equal(check_table(madt, "APIC"), 44 + 8 * 2 + 12 + 10 + 6);
	assert_int_equal(number(madt + 40, 4), 1);
	at = madt + 44 + 8 * 2;
	assert_int_equal(number(at, 4), 0x0c01);
	assert_int_equal(number(at + 4, 8), 0xfec00000);
	assert_int_equal(number(at + 12, 4), 0x00000a02);
	assert_int_equal(number(at + 16, 4), 2);
	assert_int_equal(number(at + 20, 2), 0);
	assert_int_equal(number(at + 22, 4), 0x00ff0604);
	assert_int_equal(number(at + 26, 2), 0x0100);
	legacy = false;
}

/* iasl prints what it parsed, complains about anything it does not understand, and compiles the
 * result without a warning. */
static char *by_iasl(const char *signature, u64 gpa)
{
	static char text[65536];
	char directory[] = "/tmp/weir-acpi-XXXXXX", command[256], path[64];
	size_t len;
	FILE *f;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/%s.dat", directory, signature);
	f = fopen(path, "wb");
	assert_non_null(f);
	len = number(gpa + 4, 4);
	assert_int_equal(fwrite(tables + (gpa - GUEST_RSDP), 1, len, f), len);
	fclose(f);
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d %s.dat >log 2>&1 && iasl %s.dsl >>log 2>&1 && cat *.dsl log; "
		 "rm -rf %s",
		 directory, signature, signature, directory);
	f = popen(command, "r");
	assert_non_null(f);
	len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = 0;
	assert_int_equal(pclose(f), 0);
	if (!strstr(text, "0 Errors, 0 Warnings") || strstr(text, "Error:") ||
	    strstr(text, "Warning:") || strstr(text, "Invalid"))
		fail_msg("iasl complains about %s:\n%s", signature, text);
	return text;
}

static void has(const char *text, const char *what)
{
	if (!strstr(text, what))
		fail_msg("\"%s\" is not in:\n%s", what, text);
}

static void test_iasl_understands_them(void **state)
{
	const char *text;

	(void)state;
	make(2);
	text = by_iasl("DSDT", number(find("FACP") + 140, 8));
	has(text, "Name (_S5, Package (0x04)");
	has(text, "Device (PCI0)");
	has(text, "EisaId (\"PNP0A03\")");
	has(text, "WordBusNumber (ResourceProducer, MinFixed, MaxFixed");
	has(text, "DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, "
		  "ReadWrite");
	has(text, "0xE0000000,         // Range Minimum");
	has(text, "0xFEBFFFFF,         // Range Maximum");
	has(text, "QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, "
		  "ReadWrite");
	has(text, "0x0000000240000000, // Range Minimum");
	has(text, "0x000000423FFFFFFF, // Range Maximum");
	has(text, "0x0000004000000000, // Length");
	has(text, "Device (COM1)");
	has(text, "EisaId (\"PNP0501\")");
	has(text, "0x03F8,             // Range Minimum");
	text = by_iasl("FACP", find("FACP"));
	has(text, "Hardware Reduced (V5) : 1");
	has(text, "Reset Register Supported (V2) : 1");
	(void)by_iasl("XSDT", number(GUEST_RSDP + 24, 8));
	for (u32 nr = 1; nr <= MAX_VCPUS; nr++) {
		char last[32];

		make(nr);
		snprintf(last, sizeof(last), "Local Apic ID : %02X", nr - 1);
		has(by_iasl("APIC", find("APIC")), last);
	}
	/* Without the chips of a PC, no driver looks for a real-time clock. */
	has(by_iasl("FACP", find("FACP")), "CMOS RTC Not Present (V5) : 1");
	legacy = true;
	make(2);
	has(by_iasl("FACP", find("FACP")), "CMOS RTC Not Present (V5) : 0");
	text = by_iasl("DSDT", number(find("FACP") + 140, 8));
	has(text, "EisaId (\"PNP0B00\")");
	has(text, "0x0070,             // Range Minimum");
	/* The processor's addresses end where the RAM does. */
	high.end = high.first;
	make(2);
	assert_null(strstr(by_iasl("DSDT", number(find("FACP") + 140, 8)), "QWordMemory"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rsdp),
		cmocka_unit_test(test_fadt),
		cmocka_unit_test(test_madt_names_every_vcpu),
		cmocka_unit_test(test_madt_legacy),
		cmocka_unit_test(test_iasl_understands_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
